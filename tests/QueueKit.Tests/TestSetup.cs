using System.Collections.Concurrent;
using System.Diagnostics;

namespace QueueKit.Tests;

/// <summary>Makes a broken invariant a failed test: by default a failed assertion ends the whole process.</summary>
[SetUpFixture]
public sealed class TestSetup
{
    private static readonly ConcurrentQueue<string> s_brokenInvariants = new();

    /// <summary>What has been asserted in vain since the last call; an exception may have been swallowed on its way.</summary>
    internal static string[] TakeBrokenInvariants()
    {
        var broken = new List<string>();
        while (s_brokenInvariants.TryDequeue(out string? one))
            broken.Add(one);
        return [.. broken];
    }

    [OneTimeSetUp]
    public void ThrowOnFailedAssertions()
    {
        Trace.Listeners.Clear();
        Trace.Listeners.Add(new ThrowingListener());
    }

    private sealed class ThrowingListener : TraceListener
    {
        public override void Fail(string? message, string? detailMessage)
        {
            string text = $"{message} {detailMessage}".TrimEnd();
            s_brokenInvariants.Enqueue($"{text}\n{new StackTrace(fNeedFileInfo: true)}");
            throw new BrokenInvariantException(text);
        }

        public override void Write(string? message) => TestContext.Progress.Write(message);

        public override void WriteLine(string? message) => TestContext.Progress.WriteLine(message);
    }
}

/// <summary>A <see cref="Debug.Assert(bool)"/> that failed.</summary>
public sealed class BrokenInvariantException : Exception
{
    public BrokenInvariantException() { }

    public BrokenInvariantException(string message) : base(message) { }

    public BrokenInvariantException(string message, Exception innerException) : base(message, innerException) { }
}

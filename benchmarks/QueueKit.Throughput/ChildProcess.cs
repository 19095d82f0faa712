using System.Diagnostics;
using System.Globalization;
using System.Reflection;

namespace QueueKit.Throughput;

/// <summary>This program in a process of its own: what a heap, a cache or an allocator keeps from earlier work would count as the memory of what is measured, and only a process can be killed.</summary>
/// <remarks>The child says what it has found in lines of a name and a number, and of the text "done" where it is ready to be killed.</remarks>
internal sealed class ChildProcess : IDisposable
{
    /// <summary>The first argument of a child; the second is its job, and the job's own follow.</summary>
    public const string Argument = "--child";

    private const string Done = "done";

    private readonly Process _process;
    private readonly Dictionary<string, double> _found = new(StringComparer.Ordinal);

    private ChildProcess(string job, IEnumerable<string> arguments)
    {
        // Started by "dotnet", it has to say which program.
        string[] program = Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet" ? [Assembly.GetExecutingAssembly().Location] : [];
        var start = new ProcessStartInfo(Environment.ProcessPath!, [.. program, Argument, job, .. arguments]) { RedirectStandardOutput = true, UseShellExecute = false };
        _process = Process.Start(start)!;
    }

    /// <summary>Runs a job to its end and returns what it has found.</summary>
    public static async Task<IReadOnlyDictionary<string, double>> RunAsync(string job, params string[] arguments)
    {
        using ChildProcess child = new(job, arguments);
        await child.ReadAsync();
        await child._process.WaitForExitAsync();
        Round.Expect(0, child._process.ExitCode, $"exit code of the child '{job}'");
        return child._found;
    }

    /// <summary>Runs a job until it says that it is done, kills it, and returns what it has found.</summary>
    public static async Task<IReadOnlyDictionary<string, double>> KillAsync(string job, params string[] arguments)
    {
        using ChildProcess child = new(job, arguments);
        if (!await child.ReadAsync())
            throw new InvalidOperationException($"The child '{job}' has ended before it was done. The measurement is void.");
        child._process.Kill();
        await child._process.WaitForExitAsync();
        return child._found;
    }

    /// <summary>For the child: tells what it has found.</summary>
    public static void Report(string name, double value) => Console.WriteLine($"{name} {value.ToString("R", CultureInfo.InvariantCulture)}");

    /// <summary>For the child: it may be killed, and waits for that.</summary>
    public static Task WaitToBeKilledAsync()
    {
        Console.WriteLine(Done);
        return Task.Delay(Timeout.Infinite);
    }

    public void Dispose()
    {
        // Of its own accord it ends before this; what is left is a child that nobody will ask any more.
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
    }

    private async Task<bool> ReadAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line == Done)
                return true;
            int space = line.LastIndexOf(' ');
            if (space > 0 && double.TryParse(line.AsSpan(space + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out double value))
                _found[line[..space]] = value;
        }
        return false;
    }
}

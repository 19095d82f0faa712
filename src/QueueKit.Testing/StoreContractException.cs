using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Testing;

/// <summary>A store does not do what the contract of stores says.</summary>
[Experimental("QUEUEKIT001")]
public sealed class StoreContractException : Exception
{
    /// <summary>Creates an exception.</summary>
    public StoreContractException() { }

    /// <summary>Creates an exception.</summary>
    public StoreContractException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public StoreContractException(string message, Exception? innerException) : base(message, innerException) { }

    internal StoreContractException(string caseName, string promise, string expected, string found, Exception? innerException = null)
        : base($"{caseName}: a store promises: {promise}{Environment.NewLine}Expected: {expected}{Environment.NewLine}Found: {found}", innerException)
    {
        CaseName = caseName;
        Promise = promise;
        Expected = expected;
        Found = found;
    }

    /// <summary>The case that found it.</summary>
    public string? CaseName { get; }

    /// <summary>What every store promises, and this one has not kept.</summary>
    public string? Promise { get; }

    /// <summary>What should have been.</summary>
    public string? Expected { get; }

    /// <summary>What was instead.</summary>
    public string? Found { get; }
}

using System.Diagnostics.CodeAnalysis;
using QueueKit.Diagnostics;

namespace QueueKit;

/// <summary>A handler at work, as telemetry sees it; see <see cref="MessageQueue.BeginProcess"/>. The default value is one that nobody listens to.</summary>
[SuppressMessage("Performance", "CA1815:Override equals and operator equals on value types", Justification = "Two of them are never compared.")]
public readonly struct ProcessScope : IDisposable
{
    private readonly Operation? _operation;

    internal ProcessScope(Operation operation) => _operation = operation;

    /// <summary>It has failed, and this is why.</summary>
    public void Fail(Exception error)
    {
        ArgumentNullException.ThrowIfNull(error);
        if (_operation is { } operation)
            operation.Error = TelemetryNames.ErrorOf(error);
    }

    /// <summary>Ends it.</summary>
    public void Dispose() => _operation?.End(_operation.Error);
}

namespace QueueKit.Hosting.Consuming;

/// <summary>What a called method may leave behind on the thread: the values of its <see cref="AsyncLocal{T}"/>s, and its synchronization context. Async methods take it back when they return; whoever calls a handler without being one does the same.</summary>
internal readonly struct Surroundings
{
    private readonly ExecutionContext? _context;
    private readonly SynchronizationContext? _synchronization;

    private Surroundings(ExecutionContext? context, SynchronizationContext? synchronization) => (_context, _synchronization) = (context, synchronization);

    public static Surroundings Capture() => new(ExecutionContext.Capture(), SynchronizationContext.Current);

    /// <summary>Makes it again what it was, on the same thread.</summary>
    public void Restore()
    {
        if (!ReferenceEquals(SynchronizationContext.Current, _synchronization))
            SynchronizationContext.SetSynchronizationContext(_synchronization);
        // Null where the flow is suppressed: then there is nothing to flow, and nothing to restore.
        if (_context is not null && !ReferenceEquals(ExecutionContext.Capture(), _context))
            ExecutionContext.Restore(_context);
    }
}

using System.Diagnostics;

namespace QueueKit.Hosting.Consuming;

/// <summary>A handler while somebody listens: the same, with an activity and a duration.</summary>
internal sealed class ObservedInvoker(Invoker handler, MessageQueue queue, bool continuesTraces) : Invoker
{
    public override bool LeavesActivity => true;

    /// <remarks>Begins in the flow of its caller: the settle, and the sends that are committed with it, belong to the same trace, though the work is over by then.</remarks>
    public override ValueTask<Settlement> InvokeAsync(MessageContext context, CancellationToken ct)
    {
        // A place has no activity of its own; this one would be that of its last message.
        Activity.Current = null;
        return InvokeAsync(queue.BeginProcess([context.Delivery], continuesTraces), context, ct);
    }

    private async ValueTask<Settlement> InvokeAsync(ProcessScope process, MessageContext context, CancellationToken ct)
    {
        using (process)
        {
            try
            {
                return await handler.InvokeAsync(context, ct).ConfigureAwait(false);
            }
            catch (Exception error)
            {
                process.Fail(error);
                throw;
            }
        }
    }
}

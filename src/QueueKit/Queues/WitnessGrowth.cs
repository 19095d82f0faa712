using QueueKit.Diagnostics;
using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Gives the witness more slots before they run out: that writes to the disk, so it is done on no lock.</summary>
internal sealed class WitnessGrowth(Witness witness, BrokerLog log) : WorkItem
{
    public static bool TryGrow(Witness witness, BrokerLog log)
    {
        try
        {
            return witness.Grow();
        }
        catch (IOException error)
        {
            // Deliveries that find no slot are counted, and the next opening makes of that what is safe.
            log.WitnessCannotGrow(witness.Path, error.Message);
            return false;
        }
    }

    protected override void Run() => TryGrow(witness, log);
}

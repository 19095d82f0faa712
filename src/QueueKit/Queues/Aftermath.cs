using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>What a step under the lock leaves to be done: commits go to the pipeline before the lock is released, everything else follows after.</summary>
internal ref struct Aftermath
{
    /// <summary>For the pipeline, in order, still under the lock: so that what was admitted first is stored first.</summary>
    public CommitList Commits;

    /// <summary>Who is to be woken.</summary>
    public WakeList Wakes;

    /// <summary>Messages to be moved to the dead-letter queue; until then they are leaving.</summary>
    public List<CondemnedMessage>? Condemned;

    /// <summary>Sends whose victims are kept as dead letters, in the order of their admission.</summary>
    public List<Eviction>? Evictions;

    /// <summary>Whether a burst of drops has begun, which is worth a line in the log.</summary>
    public bool DropsBegan;

    /// <summary>When the queue has to be looked at next.</summary>
    public long Deadline;

    /// <summary>A wait whose deadline has not come yet, to be armed again.</summary>
    public (IDeadlineTarget? Target, long Deadline) Rearm;

    public void Evict(PendingSend? newcomer, Victims? victims) => (Evictions ??= []).Add(new Eviction(newcomer, victims));

    public void Condemn(in QueuedMessage message, DeadLetterInfo info, int slot) => (Condemned ??= []).Add(new CondemnedMessage(message, info, slot));
}

/// <summary>A message on its way to the dead-letter queue.</summary>
/// <param name="Message">The message, as it stood in its queue.</param>
/// <param name="Info">Why.</param>
/// <param name="Slot">Of its delivery, in the witness; 0 for none.</param>
internal readonly record struct CondemnedMessage(QueuedMessage Message, DeadLetterInfo Info, int Slot = 0);

/// <summary>A step under a queue's lock: it may not block, throw or call user code; what follows goes into the aftermath.</summary>
internal delegate void QueueStep<T>(QueueCore core, T argument, in Moment moment, ref Aftermath aftermath) where T : allows ref struct;

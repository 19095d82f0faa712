using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Where a queue's messages lie in a store.</summary>
internal static class StoredMessage
{
    public static StoreKey KeyOf(uint queue, byte priority, long dueTicks, long sequence) =>
        new(dueTicks == 0 ? StoreKind.Message : StoreKind.Parked, queue, (byte)(Message.MaxPriority - priority), 0, dueTicks, sequence);

    public static void WriteRemoval(StoreBatch batch, uint queue, in QueuedMessage message)
    {
        batch.Delete(KeyOf(queue, message.Band, message.History?.ScheduledTicks ?? 0, message.Sequence));
        if (message.History is { IsStored: true })
            batch.Delete(AttemptsRecord.KeyOf(queue, message.Sequence));
    }

    /// <summary>The due time of a scheduled message that is admitted now.</summary>
    public static long DueTicksOf(Message message, in Moment moment) =>
        message.DueTime is { } due ? Math.Max(1, due.UtcTicks) : moment.UtcTicksAfter(message.Delay!.Value);
}

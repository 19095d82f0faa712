using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Where a queue's messages lie in a store.</summary>
internal static class StoredMessage
{
    public static StoreKey KeyOf(uint queue, byte priority, long dueTicks, long sequence) =>
        new(dueTicks == 0 ? StoreKind.Message : StoreKind.Parked, queue, (byte)(Message.MaxPriority - priority), 0, dueTicks, sequence);

    /// <summary>Where a band's scheduled messages lie from a due time on.</summary>
    public static (StoreKey From, StoreKey To) ScheduledRange(uint queue, byte priority, in DueKey from)
    {
        StoreKey first = KeyOf(queue, priority, Math.Max(1, from.DueTicks), from.DueTicks < 1 ? long.MinValue : from.Sequence);
        return (first, (first with { Order = long.MaxValue, Sequence = long.MaxValue }).Next());
    }

    public static void Write(StoreBatch batch, in StoreKey key, in EncodedMessage encoded, long size)
    {
        MessageRecord.Seal(encoded, key);
        batch.Insert(key, encoded.Head, encoded.Body);
        batch.LaneChanges.Add(key, 1, size);
    }

    public static void WriteRemoval(StoreBatch batch, uint queue, in QueuedMessage message)
    {
        StoreKey key = KeyOf(queue, message.Band, message.History?.ScheduledTicks ?? 0, message.Sequence);
        batch.Delete(key);
        batch.LaneChanges.Add(key, -1, -message.Size);
        if (message.History is { IsStored: true })
            batch.Delete(AttemptsRecord.KeyOf(queue, message.Sequence));
    }

    /// <summary>Removes messages that have not been read. The failed attempts at them are the caller's to remove.</summary>
    public static void WriteRemoval(StoreBatch batch, uint queue, in PagedRange range)
    {
        StoreKey first = KeyOf(queue, (byte)range.Band, 0, range.First);
        batch.DeleteRange(first, first with { Sequence = range.Last + 1 });
        batch.LaneChanges.Add(first, -range.Paged.Messages, -range.Paged.Bytes);
    }

    /// <summary>The due time of a scheduled message that is admitted now.</summary>
    public static long DueTicksOf(Message message, in Moment moment) =>
        message.DueTime is { } due ? Math.Max(1, due.UtcTicks) : moment.UtcTicksAfter(message.Delay!.Value);
}

namespace QueueKit.Queues;

/// <summary>What a purge takes out of a queue: messages that are loaded, and ranges that are only in the store. Under the queue's lock.</summary>
internal sealed class PurgedMessages
{
    private readonly QueueCore _core;
    private int _goneOfLoaded;

    /// <summary>Takes everything ready and delayed out; it is leaving.</summary>
    public PurgedMessages(QueueCore core)
    {
        _core = core;
        Dispatcher dispatcher = core.Dispatcher;
        dispatcher.TakeBackSetAside();
        Loaded = new List<WaitingMessage>((int)Math.Min(int.MaxValue, dispatcher.Suspects.Count + dispatcher.Ready.Count + core.Delayed.Loaded));
        long dueTicks = 0;
        while (dispatcher.Suspects.TryTakeAny(out QueuedMessage message) || dispatcher.Ready.TryTakeLoaded(out message) || core.Delayed.TryTakeFirst(out message, out dueTicks))
        {
            core.Books.Leaving.Add(message.Size);
            Loaded.Add(new WaitingMessage(message, dueTicks));
            dispatcher.Slots?.Forget(message);
        }
        FailedUnread = core.Pages?.BeginDeletion() ?? [];
        Ranges = dispatcher.Ready.TakePaged();
        foreach (PagedRange range in Ranges)
            core.Books.Leaving.Add(range.Paged.Bytes, range.Paged.Messages);
        Scheduled = core.Delayed.TakePaged();
        foreach (ScheduledRange range in Scheduled)
            core.Books.Leaving.Add(range.Paged.Bytes, range.Paged.Messages);
        Count = Loaded.Count + Ranges.Sum(static range => range.Paged.Messages) + Scheduled.Sum(static range => range.Paged.Messages);
    }

    public List<WaitingMessage> Loaded { get; }

    public List<PagedRange> Ranges { get; }

    /// <summary>Scheduled messages that are only in the store.</summary>
    public List<ScheduledRange> Scheduled { get; }

    /// <summary>The numbers of messages in those ranges that have failed attempts on record.</summary>
    public IReadOnlyCollection<long> FailedUnread { get; }

    public long Count { get; }

    /// <summary>So many more of those that were loaded are gone.</summary>
    public void PurgedLoaded(int count)
    {
        foreach (WaitingMessage waiting in Loaded.Slice(_goneOfLoaded, count))
            _core.Left(waiting.Message.Size);
        _goneOfLoaded += count;
        _core.Counts.Purged += count;
    }

    /// <summary>The beginning of a range is gone, or all of it.</summary>
    public void PurgedOf(int index, PagedRange slice)
    {
        PagedRange range = Ranges[index];
        Tally rest = range.Paged;
        rest.Remove(slice.Paged.Bytes, slice.Paged.Messages);
        Ranges[index] = range with { First = slice.Last + 1, Paged = rest };
        Gone(slice.Paged);
    }

    /// <summary>Some of a range of scheduled messages are gone: those up to before <paramref name="from"/>.</summary>
    public void PurgedOfScheduled(int index, DueKey from, Tally messages)
    {
        Tally rest = Scheduled[index].Paged;
        rest.Remove(messages.Bytes, messages.Messages);
        Scheduled[index] = Scheduled[index] with { From = from, Paged = rest };
        Gone(messages);
    }

    private void Gone(Tally messages)
    {
        _core.Books.Leaving.Remove(messages.Bytes, messages.Messages);
        _core.Gate.GiveBack(messages.Messages, messages.Bytes);
        _core.Counts.Purged += messages.Messages;
    }

    /// <summary>What has remained is gone too.</summary>
    public void Purged()
    {
        PurgedLoaded(Loaded.Count - _goneOfLoaded);
        for (int i = 0; i < Ranges.Count; i++)
            PurgedOf(i, Ranges[i]);
        for (int i = 0; i < Scheduled.Count; i++)
            PurgedOfScheduled(i, Scheduled[i].From, Scheduled[i].Paged);
        _core.Delayed.EndRemoval(Scheduled);
        _core.Dispatcher.Ready.EndDeletion(Ranges, putBack: false);
        _core.Pages?.EndDeletion(isDeleted: true, _core.Dispatcher.Slots);
    }

    /// <summary>The store refused: what has remained waits on, as if nothing had been.</summary>
    public void NotPurged(in Moment moment, ref Aftermath aftermath)
    {
        foreach (PagedRange range in Ranges)
            _core.Books.Leaving.Remove(range.Paged.Bytes, range.Paged.Messages);
        foreach (ScheduledRange range in Scheduled)
            _core.Books.Leaving.Remove(range.Paged.Bytes, range.Paged.Messages);
        _core.Delayed.EndRemoval(Scheduled);
        _core.Dispatcher.Ready.EndDeletion(Ranges, putBack: true);
        _core.Pages?.EndDeletion(isDeleted: false, _core.Dispatcher.Slots);
        foreach (WaitingMessage waiting in Loaded.Skip(_goneOfLoaded))
        {
            _core.Books.Leaving.Remove(waiting.Message.Size);
            if (waiting.DueTicks != 0)
                _core.Delayed.PutBack(waiting);
            else
                _core.Dispatcher.PlaceReturned(waiting.Message, moment, ref aftermath);
        }
    }
}

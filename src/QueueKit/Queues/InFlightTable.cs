namespace QueueKit.Queues;

/// <summary>In which order of an <see cref="InFlightTable"/> a delivery stands.</summary>
internal enum InFlightPlace : byte
{
    /// <summary>In none.</summary>
    None = 0,
    /// <summary>In the row of plain leases.</summary>
    Row,
    /// <summary>In the set of leases with deadlines of their own.</summary>
    Set,
}

/// <summary>The deliveries that are out, by deadline.</summary>
/// <remarks>
/// Leases of the queue's own duration end in the order in which they began, so a row holds them at no cost; those with another
/// duration, and those that were prolonged, are in a sorted set. Invariants: the row's deadlines ascend; count and bytes cover both;
/// membership and deadline change together.
/// </remarks>
internal sealed class InFlightTable
{
    private static readonly Comparer<InFlightDelivery> s_byDeadline = Comparer<InFlightDelivery>.Create(static (a, b) =>
    {
        int order = a.Deadline.CompareTo(b.Deadline);
        return order != 0 ? order : a.Sequence.CompareTo(b.Sequence);
    });

    private readonly LeaseRow _row = new();
    private SortedSet<InFlightDelivery>? _set;

    public long Count { get; private set; }

    public long Bytes { get; private set; }

    /// <summary>The delivery whose lease ends first.</summary>
    public InFlightDelivery? Earliest
    {
        get
        {
            InFlightDelivery? prolonged = _set is { Count: > 0 } ? _set.Min : null;
            InFlightDelivery? first = _row.First;
            if (first is null || prolonged is null)
                return first ?? prolonged;
            return prolonged.Deadline < first.Deadline ? prolonged : first;
        }
    }

    /// <summary>Adds a delivery whose lease ends at <paramref name="deadline"/>; <paramref name="plain"/> if it has the queue's own duration from now on.</summary>
    public void Add(InFlightDelivery delivery, long deadline, bool plain)
    {
        delivery.Deadline = deadline;
        if (plain && (_row.Count == 0 || _row.LastDeadline <= deadline))
        {
            delivery.Place = InFlightPlace.Row;
            _row.Add(delivery);
        }
        else
        {
            delivery.Place = InFlightPlace.Set;
            (_set ??= new(s_byDeadline)).Add(delivery);
        }
        Count++;
        Bytes += delivery.Size;
    }

    /// <summary>Takes a delivery out; false if it is not in.</summary>
    public bool Remove(InFlightDelivery delivery)
    {
        switch (delivery.Place)
        {
            case InFlightPlace.None:
                return false;
            case InFlightPlace.Row:
                _row.Remove(delivery);
                break;
            default:
                _set!.Remove(delivery);
                break;
        }
        delivery.Place = InFlightPlace.None;
        Count--;
        Bytes -= delivery.Size;
        return true;
    }

    /// <summary>Gives a lease another deadline.</summary>
    public void Prolong(InFlightDelivery delivery, long deadline)
    {
        if (Remove(delivery))
            Add(delivery, deadline, plain: false);
    }

    /// <summary>When the delivery that is out longest was handed over; null if none is. Looks at each prolonged lease; of the plain ones only at those before the first that began when it was added.</summary>
    public long? OldestHandOver()
    {
        long? oldest = null;
        // In the order of their deadlines: what was set aside first may have been handed over later than the next one.
        foreach (InFlightDelivery delivery in _row.Deliveries)
        {
            Look(delivery);
            if (delivery.State != LeaseState.Offered && !delivery.HasEarlyDeadline)
                break;
        }
        if (_set is not null)
        {
            foreach (InFlightDelivery delivery in _set)
                Look(delivery);
        }
        return oldest;

        void Look(InFlightDelivery delivery)
        {
            if (delivery.State != LeaseState.Offered)
                oldest = Math.Min(oldest ?? long.MaxValue, delivery.StartedAt);
        }
    }
}

namespace QueueKit.Faults.Kill;

/// <summary>What the parent knows of every message, from what its children told it before they were killed; and what it makes of each new line.</summary>
internal sealed class Truth
{
    private readonly Dictionary<string, Known> _messages = [];
    private readonly Dictionary<int, (int Life, int Number)> _lastFirstDelivery = [];
    private readonly List<string> _violations = [];
    private readonly HashSet<string> _inFlight = [];

    public IReadOnlyList<string> Violations => _violations;

    public int Sent => _messages.Count;

    public int Confirmed { get; private set; }

    public int AckConfirmed { get; private set; }

    public int Redelivered { get; private set; }

    public int Lost { get; private set; }

    public int Resurrected { get; private set; }

    public int Duplicates { get; private set; }

    public bool IsEmpty { get; private set; }

    public int? Opened { get; private set; }

    private sealed class Known
    {
        public bool Confirmed;
        public bool Delivered;
        public bool AckBegun;
        public bool AckConfirmed;
    }

    /// <summary>A child begins its life.</summary>
    public void BeginLife()
    {
        Opened = null;
        IsEmpty = false;
    }

    /// <summary>The child is dead: what it had is in flight no more, and may come again.</summary>
    public void EndLife() => _inFlight.Clear();

    /// <summary>Takes a line of the child's.</summary>
    public void Hear(string line)
    {
        string[] words = line.Split(' ');
        switch (words[0])
        {
            case "o":
                Opened = int.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture);
                break;
            case "s":
                _messages.Add(words[1], new Known());
                break;
            case "c":
                _messages[words[1]].Confirmed = true;
                Confirmed++;
                break;
            case "d":
                Delivered(words[1], isRedelivered: words[2] == "1");
                break;
            case "k":
                _messages[words[1]].AckBegun = true;
                break;
            case "a":
                _messages[words[1]].AckConfirmed = true;
                AckConfirmed++;
                _inFlight.Remove(words[1]);
                break;
            case "e":
                IsEmpty = true;
                break;
            default:
                _violations.Add(line);
                break;
        }
    }

    /// <summary>Everything has been drained: whatever was confirmed must have come.</summary>
    public void CheckNothingIsLost()
    {
        foreach ((string id, Known known) in _messages)
        {
            if (!known.Confirmed || known.Delivered)
                continue;
            Lost++;
            _violations.Add($"{id} was confirmed and never came");
        }
    }

    private void Delivered(string id, bool isRedelivered)
    {
        if (!_messages.TryGetValue(id, out Known? known))
        {
            _violations.Add($"{id} was delivered and never sent");
            return;
        }
        Redelivered += isRedelivered ? 1 : 0;
        if (known.AckConfirmed)
        {
            Resurrected++;
            _violations.Add($"{id} was delivered again after its ack was confirmed");
        }
        if (!_inFlight.Add(id))
        {
            Duplicates++;
            _violations.Add($"{id} was delivered twice at the same time");
        }
        if (known.Delivered && !isRedelivered)
        {
            Duplicates++;
            _violations.Add($"{id} was delivered again and not marked as redelivered");
        }
        // A first delivery that the parent never heard of, because the kill came between it and its line, is marked too.
        if (!known.Delivered && !isRedelivered)
            CheckOrder(id);
        known.Delivered = true;
    }

    // Each producer awaits every send, so its messages are admitted in the order of their numbers; a scheduled one has its own time.
    private void CheckOrder(string id)
    {
        if (id.EndsWith(ChildOptions.ScheduledMark))
            return;
        int[] parts = [.. id.Split('.').Select(static part => int.Parse(part, System.Globalization.CultureInfo.InvariantCulture))];
        (int Life, int Number) now = (parts[1], parts[2]);
        if (_lastFirstDelivery.TryGetValue(parts[0], out (int Life, int Number) last) && now.CompareTo(last) < 0)
            _violations.Add($"{id} was delivered behind {parts[0]}.{last.Life}.{last.Number}");
        _lastFirstDelivery[parts[0]] = now;
    }
}

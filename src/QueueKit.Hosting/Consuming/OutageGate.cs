namespace QueueKit.Hosting.Consuming;

/// <summary>Decides whether the places of a consumer may take messages: all of them, none, or one that probes.</summary>
/// <remarks>
/// <code>
///   open ──── an outage, or failures in a row on different messages ───► paused
///   paused ── the pause is over ───► probing: one place takes one message
///   probing ─ it succeeds ───► open          probing ─ it fails ───► paused, twice as long
/// </code>
/// What fails while the gate is not open is not charged. One exception, so that a bad message cannot hold the queue for ever:
/// a probe that fails on the same message again, with an error that no rule takes for an outage, is that message's failure, too.
/// </remarks>
internal sealed class OutageGate(OutageOptions options, TimeProvider time, Action<TimeSpan, Exception, bool> paused, Action ended) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly HashSet<long> _failedInARow = [];
    private volatile bool _isOpen = true;
    private volatile bool _hasFailures;
    private bool _isProbeDue;
    private bool _isProbing;
    private long _lastProbed = -1;
    private TimeSpan _pause;
    private ITimer? _timer;
    private TaskCompletionSource _change = NewChange();

    public bool IsOpen => _isOpen;

    /// <summary>What the last failure was, while the gate is not open.</summary>
    public Exception? Cause { get; private set; }

    /// <summary>Waits until the caller may take messages; true if it is the one that probes, and may take one only.</summary>
    public async ValueTask<bool> EnterAsync(CancellationToken ct)
    {
        while (true)
        {
            Task change;
            lock (_lock)
            {
                if (_isOpen)
                    return false;
                if (_isProbeDue && !_isProbing)
                {
                    _isProbing = true;
                    return true;
                }
                change = _change.Task;
            }
            await change.WaitAsync(ct).ConfigureAwait(false);
        }
    }

    /// <summary>A handler has done its work.</summary>
    public void Succeeded(bool isProbe)
    {
        if (!isProbe && !_hasFailures)
            return;
        lock (_lock)
        {
            if (_isOpen)
            {
                _failedInARow.Clear();
                _hasFailures = false;
                return;
            }
            // What started before the pause and succeeds now says nothing about the time since.
            if (!isProbe)
                return;
            _isOpen = true;
            _isProbing = false;
            _isProbeDue = false;
            _pause = TimeSpan.Zero;
            _lastProbed = -1;
            Cause = null;
            _failedInARow.Clear();
            _hasFailures = false;
            Signal();
        }
        ended();
    }

    /// <summary>A probe that says nothing either way: the message was not handled. Another place probes.</summary>
    public void Undecided()
    {
        lock (_lock)
        {
            _isProbing = false;
            Signal();
        }
    }

    /// <summary>A handler has failed; true if its message is to be charged for it.</summary>
    public bool Failed(long sequence, bool isOutage, bool isProbe, Exception error)
    {
        TimeSpan pause;
        bool isCharged = false;
        lock (_lock)
        {
            if (_isOpen)
            {
                _hasFailures = true;
                _failedInARow.Add(sequence);
                if (!isOutage && (options.AfterFailures is not { } limit || _failedInARow.Count < limit))
                {
                    // Without a limit nobody needs to know which they were.
                    if (options.AfterFailures is null)
                        _failedInARow.Clear();
                    return true;
                }
                _isOpen = false;
                _pause = options.FirstPause;
            }
            else if (isProbe)
            {
                isCharged = !isOutage && sequence == _lastProbed;
                _lastProbed = sequence;
                _isProbing = false;
                _pause = _pause * 2 < options.LongestPause ? _pause * 2 : options.LongestPause;
            }
            else
            {
                return false;
            }
            pause = _pause;
            Cause = error;
            _isProbeDue = false;
            _timer ??= time.CreateTimer(static gate => ((OutageGate)gate!).PauseIsOver(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _timer.Change(_pause, Timeout.InfiniteTimeSpan);
        }
        paused(pause, error, isProbe);
        return isCharged;
    }

    public void Dispose()
    {
        lock (_lock)
            _timer?.Dispose();
    }

    private static TaskCompletionSource NewChange() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void PauseIsOver()
    {
        lock (_lock)
        {
            _isProbeDue = true;
            Signal();
        }
    }

    private void Signal()
    {
        _change.TrySetResult();
        _change = NewChange();
    }
}

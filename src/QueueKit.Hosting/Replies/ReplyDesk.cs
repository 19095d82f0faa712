using System.Collections.Concurrent;

namespace QueueKit.Hosting.Replies;

/// <summary>Where the replies of one broker come in: a transient queue, and those who wait by the correlation id of their request.</summary>
internal sealed class ReplyDesk(HostedBroker broker, HostingLog log)
{
    public const string QueueName = "queuekit.replies";

    private readonly ConcurrentDictionary<string, TaskCompletionSource<Message>> _waiting = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private Task? _opening;

    private string BrokerName => broker.Name.Length == 0 ? "the broker" : $"broker '{broker.Name}'";

    /// <summary>Before the first request of this process nobody can wait: its reply would go to a queue that does not exist.</summary>
    public bool IsExpected(string queue, Message reply)
    {
        if (queue != QueueName || broker.Broker.TryGetQueue(queue, out _))
            return true;
        log.ReplyTooLate(reply.CorrelationId, BrokerName);
        return false;
    }

    /// <summary>The reply to the request of that id, when it comes. Ends with <see cref="Forget"/>.</summary>
    public async Task<Task<Message>> ExpectAsync(string id)
    {
        Task opening;
        lock (_lock)
        {
            if (_opening is null or { IsFaulted: true })
                _opening = OpenAsync();
            opening = _opening;
        }
        await opening.ConfigureAwait(false);
        var reply = new TaskCompletionSource<Message>(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting[id] = reply;
        return reply.Task;
    }

    public void Forget(string id) => _waiting.TryRemove(id, out _);

    /// <summary>No reply to that request will come: whoever waits for it, if anybody does, hears why.</summary>
    public void GiveUp(Message request, string queue, string reason, string? details)
    {
        if (request.CorrelationId is { } id && _waiting.TryRemove(id, out TaskCompletionSource<Message>? waiting))
            waiting.TrySetException(new RequestRejectedException(queue, reason, details));
    }

    /// <summary>Nobody need wait any longer.</summary>
    public void Close()
    {
        foreach (TaskCompletionSource<Message> reply in _waiting.Values)
            reply.TrySetException(new ObjectDisposedException(nameof(MessageBroker), "The broker was closed before the reply came."));
    }

    private async Task OpenAsync()
    {
        MessageQueue replies = await broker.Broker.DeclareQueueAsync(QueueName, new QueueOptions
        {
            Durability = Durability.Transient,
            MaxMessages = null,
            MaxBytes = null,
            DeadLetterOn = DeadLetterReasons.None,
        }).ConfigureAwait(false);
        // The broker stops it when it closes.
        replies.Consume((delivery, _) =>
        {
            if (delivery.Message.CorrelationId is not { } id || !_waiting.TryRemove(id, out TaskCompletionSource<Message>? waiting) || !waiting.TrySetResult(delivery.Message))
                log.ReplyTooLate(delivery.Message.CorrelationId, BrokerName);
            return default;
        });
    }
}

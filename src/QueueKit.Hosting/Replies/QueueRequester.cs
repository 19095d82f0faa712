namespace QueueKit.Hosting.Replies;

/// <summary>Requests to one queue.</summary>
internal sealed class QueueRequester<T>(HostedBroker broker, string queue) : IQueueRequester<T>
{
    private static readonly TimeSpan s_defaultTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_longestTimeout = TimeSpan.FromDays(49);

    public string Name => queue;

    public async ValueTask<TReply> RequestAsync<TReply>(T request, TimeSpan? timeout = null, CancellationToken ct = default)
    {
        TimeSpan wait = timeout ?? s_defaultTimeout;
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(wait, TimeSpan.Zero, nameof(timeout));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(wait, s_longestTimeout, nameof(timeout));
        MessageFormat<TReply> format = broker.Formats.Get<TReply>();
        string id = Guid.NewGuid().ToString("N");
        Message message = broker.Formats.Get<T>().Write(request, new SendOptions { CorrelationId = id, ReplyTo = ReplyDesk.QueueName });
        using var timer = new CancellationTokenSource(wait, broker.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, ct);
        try
        {
            Task<Message> reply = await broker.Replies.ExpectAsync(id).WaitAsync(both.Token).ConfigureAwait(false);
            SendReceipt receipt = await broker.Broker.GetQueue(queue).SendAsync(message, both.Token).ConfigureAwait(false);
            if (receipt.Outcome != SendOutcome.Accepted)
                throw new QueueFullException($"Queue '{queue}' is full and dropped the request, as its overflow policy says. Nobody will reply to it; send it again later, or choose another policy.");
            Message answer = await reply.WaitAsync(both.Token).ConfigureAwait(false);
            return format.TryRead(answer, out TReply? value, out Settlement rejection)
                ? value
                : throw new QueueKitException($"The reply to a request to queue '{queue}' cannot be read: {rejection.Details}");
        }
        catch (OperationCanceledException error) when (timer.IsCancellationRequested && !ct.IsCancellationRequested)
        {
            throw new TimeoutException($"No reply to a request to queue '{queue}' came within {wait}. It may still be handled, unless it was removed in the meantime.", error);
        }
        finally
        {
            broker.Replies.Forget(id);
        }
    }
}

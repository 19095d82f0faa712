namespace QueueKit.Hosting.Recurring;

/// <summary>Sends one recurring message. The next tick is itself a message, due at its time, in a queue of its own: as durable as any other.</summary>
/// <remarks>
/// When it comes due, one commit acks it, sends the message of the tick and sends the next tick. So there is one message per tick, whatever ends the process when.
/// The queue's name holds the schedule's id: under another expression or time zone the ticks begin anew.
/// </remarks>
internal sealed class RecurringSender(RecurringRegistration registration, CronSchedule schedule, HostedBroker broker, TimeProvider time, HostingLog log)
{
    public const string QueuePrefix = "queuekit.recurring.";
    public const string TickHeader = "queuekit-tick";

    private MessageConsumer? _consumer;

    public string Name => registration.Name;

    /// <summary>Faults if it stops without being asked to.</summary>
    public Task Completion => _consumer?.Completion ?? Task.CompletedTask;

    public async Task StartAsync(CancellationToken ct)
    {
        string prefix = $"{QueuePrefix}{registration.Name}.";
        foreach (MessageQueue old in broker.Broker.Queues.Where(queue => queue.Name.StartsWith(prefix, StringComparison.Ordinal) && queue.Name != prefix + schedule.Id && !queue.Name.AsSpan(prefix.Length).Contains('.')))
            await broker.Broker.DeleteQueueAsync(old.Name, ct).ConfigureAwait(false);
        MessageQueue ticks = await broker.Broker.DeclareQueueAsync(prefix + schedule.Id, new QueueOptions
        {
            MaxAttempts = null,
            DeadLetterOn = DeadLetterReasons.None,
            RetryDelay = RetryDelay.Exponential(TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(1)),
        }, ct).ConfigureAwait(false);
        if (ticks.GetSnapshot().Messages == 0 && schedule.After(time.GetUtcNow()) is { } first)
            await ticks.SendAsync(Tick(first), ct).ConfigureAwait(false);
        _consumer = ticks.Consume((delivery, handlerToken) => SendAsync(ticks, delivery, handlerToken));
    }

    public ValueTask StopAsync(CancellationToken deadline) => _consumer?.StopAsync(deadline) ?? default;

    private static Message Tick(DateTimeOffset tick) => new(ReadOnlyMemory<byte>.Empty) { DueTime = tick, Headers = new MessageHeaders { { TickHeader, tick } } };

    private async ValueTask SendAsync(MessageQueue ticks, Delivery delivery, CancellationToken ct)
    {
        var tick = (DateTimeOffset)delivery.Message.Headers[TickHeader];
        (DateTimeOffset? send, DateTimeOffset? next) = schedule.Due(tick, time.GetUtcNow());
        BrokerTransaction transaction = broker.Broker.BeginTransaction();
        await using (transaction.ConfigureAwait(false))
        {
            if (transaction.Settle(delivery, Settlement.Ack) != SettleResult.Settled)
                return;
            // First: the place that the ack frees is for the next tick, and the queue of the message follows its own policy.
            if (next is { } following)
                transaction.Send(ticks, Tick(following));
            if (send is { } due)
            {
                var options = new SendOptions { MessageId = $"{registration.Name}@{due.UtcDateTime:yyyy-MM-ddTHH:mm:ss}Z", Headers = new MessageHeaders { { TickHeader, due } } };
                transaction.Send(broker.Broker.GetQueue(registration.Queue), registration.Write(broker.Formats, due, options));
            }
            await transaction.CommitAsync(ct).ConfigureAwait(false);
        }
        if (send != tick)
            log.TicksMissed(registration.Name, tick, send);
        if (next is null)
            log.NoMoreTicks(registration.Name);
    }
}

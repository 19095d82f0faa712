namespace QueueKit.Queues;

/// <summary>Moves messages that a queue gives up to its dead-letter queue: put there and deleted here in one commit.</summary>
internal sealed class DeadLetters(BrokerContext broker)
{
    /// <summary>Moves messages that count as leaving in <paramref name="source"/>. On no lock.</summary>
    public void Move(QueueConductor source, List<CondemnedMessage> condemned)
    {
        var transfer = new Transfer(broker);
        foreach (CondemnedMessage message in condemned)
            transfer.Leave(source, message, keep: TryArrive(transfer, source, message));
        transfer.BeginUnattended(source);
    }

    /// <summary>Moves victims of <see cref="OverflowPolicy.DropOldest"/>: in the commit of the newcomer that they make room for, if that has one. On no lock.</summary>
    public void Replace(QueueConductor source, List<Eviction> evictions)
    {
        foreach ((PendingSend? newcomer, Victims? victims) in evictions)
        {
            if (newcomer is not null && victims is not { AreKept: true })
            {
                broker.Pipeline!.Enqueue(newcomer);
                continue;
            }
            var transfer = new Transfer(broker);
            if (newcomer is null)
                transfer.Evict(source, victims!);
            else
                transfer.Bring(newcomer);
            transfer.BeginUnattended(source);
        }
    }

    /// <summary>Nothing was written, because the queue of dead letters has been deleted: they go to the next one of that name.</summary>
    public void ReplaceAgain(PendingSend newcomer)
    {
        Victims victims = newcomer.Victims!;
        newcomer.Queue.Step(victims, static (core, victims, in _, ref _) => core.NotKept(-victims.Discarded));
        victims.Discarded = 0;
        Replace(newcomer.Queue, [new Eviction(newcomer, victims)]);
    }

    /// <summary>Adds the arrivals of victims' dead letters to a transfer; those that their queue's own policy drops are counted as discarded.</summary>
    public void Keep(Transfer transfer, QueueConductor source, Victims victims)
    {
        DateTimeOffset now = broker.Clock.ToUtc(broker.Clock.Now);
        foreach (QueuedMessage victim in victims.Messages)
        {
            if (!TryArrive(transfer, source, new CondemnedMessage(victim, Obituary(source.Name, null, victim, DeadLetterReasons.Overflow, default, now))))
                victims.Discarded++;
        }
        if (victims.Discarded > 0)
            source.Step(victims, static (core, victims, in _, ref _) => core.NotKept(victims.Discarded));
    }

    /// <summary>Adds a dead letter's arrival to a transfer; false if its queue's own overflow policy drops it.</summary>
    /// <remarks>It never waits and is never refused: the message was in the broker already, so it may lift the dead-letter queue above its limit.</remarks>
    public bool TryArrive(Transfer transfer, QueueConductor source, in CondemnedMessage condemned)
    {
        QueueConductor target = broker.DeadLetterQueueOf(source);
        var letter = new Message(condemned.Message.Message);
        var reserve = new ReserveStep(1, letter.Size, isEntitled: true);
        target.Step(reserve);
        if (reserve.Verdict != GateVerdict.Admit)
            return false;
        if (reserve.Victims is { } victims)
            transfer.Evict(target, victims);
        transfer.Arrive(target, letter, condemned.Info);
        broker.Log.DeadLettered(source.Name, condemned.Message.Sequence, target.Name, condemned.Info.Reason, condemned.Info.Description);
        return true;
    }

    /// <summary>Why a message was given up, as its dead letter tells it.</summary>
    public static DeadLetterInfo Obituary(string queue, int? maxAttempts, in QueuedMessage message, DeadLetterReasons reason, Settlement settlement, DateTimeOffset now)
    {
        int attempts = message.History?.FailedAttempts ?? 0;
        string description = reason switch
        {
            DeadLetterReasons.Rejected => settlement.Reason ?? "rejected",
            DeadLetterReasons.AttemptsExhausted when message.History is { Deaths: > 0 and var deaths } =>
                $"{attempts} of {maxAttempts} attempts failed, and {(deaths == attempts ? "each" : $"{deaths} of them")} ended the process",
            DeadLetterReasons.AttemptsExhausted => $"{attempts} of {maxAttempts} attempts failed",
            _ => "dropped as the oldest to make room",
        };
        return new DeadLetterInfo(queue, reason, description, settlement.Details, attempts, message.History?.LastError, message.Sequence, now);
    }
}

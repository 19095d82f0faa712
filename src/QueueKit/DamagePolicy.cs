namespace QueueKit;

/// <summary>What a broker does with a store that is damaged.</summary>
public enum DamagePolicy
{
    /// <summary>It says what is damaged and where, and does not go on: the store is not opened, or the queue whose backlog cannot be read stops there.</summary>
    Refuse = 0,
    /// <summary>What cannot be read is set aside and counted, and the rest is served. A store that cannot be opened is repaired first: everything that is what was written goes into new files, and the old ones stay
    /// beside the store under other names. That takes its space once more, and what is missing is missing from then on: <see cref="MessageBroker.Quarantine"/> tells. A message that turns out to be unreadable later stays
    /// in the store, where a repair finds it, and the queue goes on behind it: <see cref="QueueSnapshot.Unreadable"/> counts. If the store does not survive its damage, the queue stops there, and the next opening repairs.</summary>
    Quarantine,
}

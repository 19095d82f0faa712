namespace QueueKit.Queues;

//                      send                         due
//        ┌──────────────────────────────┬───────────────────────────┐
//        │ transient: at once           ▼                           │
//   send ┴──► Storing ──committed──► Ready ◄──release, timeout,── InFlight ──nack with delay──► Delayed
//                │                    │  ▲    nack                 │  ▲ │                         │  ▲
//                └──committed, delayed┼──┼─────────────────────────┼──┼─┼─────────────────────────┘  │
//                                     │  └────────────due──────────┼──┼─┼────────────────────────────┘
//                                     ├──────────deliver───────────┼──┘ │
//                                     │                            │    └─ack─► Leaving ──committed──► gone
//                                     ├─evict, purge─► Leaving     └─reject, attempts exhausted─► Leaving ─► dead-letter queue
//                                     │                  │
//                                     └──────refused─────┘  (the store wrote nothing: back to its place)

/// <summary>Where an admitted message of a queue is. It is in exactly one of these states until it is gone.</summary>
internal enum MessageState
{
    /// <summary>Admitted; its commit is on the way. Held by its <see cref="PendingSend"/>.</summary>
    Storing,

    /// <summary>Deliverable. Held by <see cref="LaneScheduler"/>.</summary>
    Ready,

    /// <summary>Waiting for a time. Held by <see cref="DelayedMessages"/>.</summary>
    Delayed,

    /// <summary>With a consumer, under a lease. Held by <see cref="InFlightTable"/>.</summary>
    InFlight,

    /// <summary>Settled, evicted, purged or being moved, and the store has not confirmed it. Held by the commit work concerned.</summary>
    Leaving,
}

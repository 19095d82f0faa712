using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

/// <summary>Short ways to what the parts of a queue handle, without a queue.</summary>
internal static class Some
{
    public static QueuedMessage Message(long sequence, int priority = 0, int size = 1, long enqueuedAt = 0) =>
        new(new Message(new byte[size]) { Priority = (byte)priority }, sequence, enqueuedAt);

    public static InFlightDelivery Delivery(long sequence, int size = 1, long startedAt = 0, LeaseState state = LeaseState.Held) =>
        new(Message(sequence, size: size), Consumer(), state, startedAt);

    /// <summary>A sender that stands in for any other: one that wants places.</summary>
    public static PendingSend Sender(int messages = 1, long bytes = 1) => PendingSend.RentReservation(null!, new ReserveStep(messages, bytes, isEntitled: false));

    public static Consumer Consumer(int credit = int.MaxValue) => new(null) { Credit = credit };
}

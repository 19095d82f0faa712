using System.Reflection;
using Microsoft.Extensions.Logging;
using QueueKit.Diagnostics;

namespace QueueKit.Tests.Diagnostics;

public class BrokerLogTests
{
    private static readonly LoggerMessageAttribute[] s_events = [.. typeof(BrokerLog)
        .GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.DeclaredOnly)
        .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>()!)];

    [Test]
    public void EveryLineOfTheLogHasAnIdOfItsOwn()
    {
        Assert.That(s_events, Is.Not.Empty.And.All.Not.Null);
        Assert.That(s_events.Select(line => line.EventId), Is.Unique.And.All.GreaterThan(0));
    }

    [Test]
    public void TheIdsOfTheLogAreThoseThatUsersFilterBy() =>
        // Stable: a number is never given to another line. A new line adds its own at the end of its group.
        Assert.That(s_events.Select(line => line.EventId).Order(), Is.EqualTo((int[])[1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 25, 26, 27, 30, 40, 41, 42, 43, 44, 45, 46, 47]));
}

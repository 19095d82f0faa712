using System.Globalization;
using QueueKit.Hosting.Recurring;

namespace QueueKit.Hosting.Tests;

public class CronScheduleTests
{
    private static DateTimeOffset At(string time) => DateTimeOffset.Parse(time, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);

    private static CronSchedule Schedule(string cron, MissedTicks missed = MissedTicks.Last, string zone = "UTC") =>
        CronSchedule.TryCreate(new RecurringOptions { Cron = cron, Missed = missed, TimeZone = zone }, out _)!;

    [TestCase(MissedTicks.Last, "2026-01-01 12:00", "2026-01-01 13:00")]
    [TestCase(MissedTicks.All, "2026-01-01 10:00", "2026-01-01 11:00")]
    [TestCase(MissedTicks.None, null, "2026-01-01 13:00")]
    public void AfterDowntimeThePolicySaysWhatIsSent(MissedTicks missed, string? send, string next)
    {
        (DateTimeOffset? Send, DateTimeOffset? Next) due = Schedule("0 * * * *", missed).Due(At("2026-01-01 10:00"), At("2026-01-01 12:30"));

        Assert.That(due, Is.EqualTo((send is null ? (DateTimeOffset?)null : At(send), (DateTimeOffset?)At(next))));
    }

    [Test]
    public void ATickInTimeIsSentThoughThoseBeforeItWereMissed()
    {
        (DateTimeOffset? Send, DateTimeOffset? Next) due = Schedule("0 * * * *", MissedTicks.None).Due(At("2026-01-01 10:00"), At("2026-01-01 12:00:30"));

        Assert.That(due, Is.EqualTo(((DateTimeOffset?)At("2026-01-01 12:00"), (DateTimeOffset?)At("2026-01-01 13:00"))));
    }

    [TestCase(MissedTicks.Last)]
    [TestCase(MissedTicks.All)]
    [TestCase(MissedTicks.None)]
    public void ATickInTimeIsSentUnderEveryPolicy(MissedTicks missed)
    {
        (DateTimeOffset? Send, DateTimeOffset? Next) due = Schedule("0 10 * * *", missed).Due(At("2026-01-01 10:00"), At("2026-01-01 10:00:30"));

        Assert.That(due, Is.EqualTo(((DateTimeOffset?)At("2026-01-01 10:00"), (DateTimeOffset?)At("2026-01-02 10:00"))));
    }

    [Test]
    public void TicksThatAreLateByLessThanAMinuteAreSentOneByOne()
    {
        (DateTimeOffset? Send, DateTimeOffset? Next) due = Schedule("* * * * * *").Due(At("2026-01-01 10:00"), At("2026-01-01 10:00:50"));

        Assert.That(due, Is.EqualTo(((DateTimeOffset?)At("2026-01-01 10:00"), (DateTimeOffset?)At("2026-01-01 10:00:01"))));
    }

    [Test]
    public void TheLastOfMillionsOfTicksIsFoundFromTheEnd()
    {
        (DateTimeOffset? Send, DateTimeOffset? Next) due = Schedule("* * * * * *").Due(At("2020-01-01"), At("2026-01-01 10:00"));

        Assert.That(due, Is.EqualTo(((DateTimeOffset?)At("2026-01-01 10:00"), (DateTimeOffset?)At("2026-01-01 10:00:01"))));
    }

    [Test]
    public void AZoneMovesItsTicksWithSummerTime()
    {
        CronSchedule berlin = Schedule("0 6 * * *", zone: "Europe/Berlin");

        Assert.That(berlin.After(At("2026-03-28 00:00")), Is.EqualTo(At("2026-03-28 05:00")));
        Assert.That(berlin.After(At("2026-03-29 00:00")), Is.EqualTo(At("2026-03-29 04:00")));
    }

    [TestCase("", "UTC", "Cron is ''; it must have five fields")]
    [TestCase("61 * * * *", "UTC", "Cron is '61 * * * *'; it must have five fields, or six with seconds")]
    [TestCase("* * * * *", "Mars/Olympus", "TimeZone is 'Mars/Olympus'; it must be the id of a time zone")]
    public void WhatCannotBeReadSaysWhatItMustBe(string cron, string zone, string complaint)
    {
        Assert.That(CronSchedule.TryCreate(new RecurringOptions { Cron = cron, TimeZone = zone }, out string? problem), Is.Null);
        Assert.That(problem, Does.Contain(complaint));
    }

    [Test]
    public void AnotherExpressionOrZoneIsAnotherSchedule() =>
        Assert.That(((string[])["0 6 * * *", "0 7 * * *"]).SelectMany(cron => ((string[])["UTC", "Europe/Berlin"]).Select(zone => Schedule(cron, zone: zone).Id)).Distinct().Count(), Is.EqualTo(4));
}

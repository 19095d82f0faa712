using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class CrashRecoveryTests
{
    [TestCase(new bool[0], null, TestName = "Nobody was started: the end had another reason")]
    [TestCase(new[] { false }, 0, TestName = "It was alone")]
    [TestCase(new[] { true }, 0, TestName = "It was alone, and suspect before")]
    [TestCase(new[] { false, false }, null, TestName = "Each of two may have been it")]
    [TestCase(new[] { false, true, false }, 1, TestName = "One of them was there before")]
    [TestCase(new[] { true, true, false }, null, TestName = "Two of them were there before")]
    public void ADeathIsChargedOnlyToWhomItProvesGuilty(bool[] wereSuspect, int? culprit) =>
        Assert.That(CrashRecovery.Culprit(wereSuspect), Is.EqualTo(culprit));
}

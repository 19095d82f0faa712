namespace QueueKit.Tests.Queues;

public class SettlementTests
{
    [Test]
    public void TheDefaultSaysNothingAndIsRefusedWithTheRemedy()
    {
        Assert.That(default(Settlement).Kind, Is.EqualTo(SettlementKind.None));
        Assert.That(() => default(Settlement).ThrowIfDefault(), Throws.ArgumentException.With.Message.Contains("default value").And.Message.Contains("Settlement.Ack").And.Property("ParamName").EqualTo("settlement"));
    }

    [Test]
    public void EveryOtherSaysWhatItIs()
    {
        Settlement[] settlements = [Settlement.Ack, Settlement.Nack(), Settlement.Release, Settlement.Reject("broken")];

        Assert.That(settlements.Select(settlement => settlement.Kind), Is.EqualTo([SettlementKind.Ack, SettlementKind.Nack, SettlementKind.Release, SettlementKind.Reject]));
        Assert.That(() => Array.ForEach(settlements, settlement => settlement.ThrowIfDefault()), Throws.Nothing);
    }

    [Test]
    public void ANackCarriesDelayAndError()
    {
        var error = new InvalidOperationException();
        Settlement nack = Settlement.Nack(TimeSpan.FromSeconds(3), error);

        Assert.That((nack.Delay, nack.Error, nack.Reason), Is.EqualTo((TimeSpan.FromSeconds(3), error, (string?)null)));
        Assert.That(Settlement.Nack().Delay, Is.Null, "the queue's own");
        Assert.That(Settlement.Nack(TimeSpan.Zero).Delay, Is.EqualTo(TimeSpan.Zero), "at once");
    }

    [Test]
    public void ANegativeDelayIsRefused() =>
        Assert.That(() => Settlement.Nack(TimeSpan.FromTicks(-1)), Throws.InstanceOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo("delay"));

    [Test]
    public void ARejectCarriesReasonAndDetails()
    {
        Settlement reject = Settlement.Reject("broken", "at line 5");

        Assert.That((reject.Reason, reject.Details, reject.ToString()), Is.EqualTo(("broken", "at line 5", "Reject: broken")));
    }

    [Test]
    public void ARejectNeedsAReason()
    {
        Assert.That(() => Settlement.Reject(null!), Throws.ArgumentNullException);
        Assert.That(() => Settlement.Reject(""), Throws.ArgumentException);
        Assert.That(() => Settlement.Reject(" \t"), Throws.ArgumentException);
    }

    [Test]
    public void TextsTake4096CharactersAndNoMore()
    {
        string longest = new('x', Settlement.MaxTextLength), tooLong = longest + "x";

        Assert.That(() => Settlement.Reject(longest, longest), Throws.Nothing);
        Assert.That(() => Settlement.Reject(tooLong), Throws.ArgumentException.With.Message.Contains("4097").And.Property("ParamName").EqualTo("reason"));
        Assert.That(() => Settlement.Reject("broken", tooLong), Throws.ArgumentException.With.Property("ParamName").EqualTo("details"));
    }

    [Test]
    public void TwoThatSayTheSameAreEqual()
    {
        Settlement reject = Settlement.Reject("a", "b");

        Assert.That(reject == Settlement.Reject("a", "b") && reject.GetHashCode() == Settlement.Reject("a", "b").GetHashCode(), Is.True);
        Assert.That(reject != Settlement.Reject("a") && reject != Settlement.Ack && !reject.Equals((object)Settlement.Release), Is.True);
        Assert.That(Settlement.Nack(TimeSpan.Zero), Is.Not.EqualTo(Settlement.Nack()));
    }

    [Test]
    public void NoDefaultOutcomeMeansSuccess()
    {
        Assert.That((default(SettleResult), default(SendOutcome), default(SendReceipt).Outcome), Is.EqualTo((SettleResult.LeaseLost, SendOutcome.Refused, SendOutcome.Refused)));
        Assert.That((default(StoreFault), new StoreException().OutcomeUnknown), Is.EqualTo((StoreFault.Failed, true)), "an unexplained failure has an unknown outcome");
    }
}

namespace QueueKit.Tests.Queues;

public class QueueNameTests
{
    [TestCase("a")]
    [TestCase("orders.dead")]
    [TestCase("Region/EU orders: new & urgent")]
    [TestCase("Aufträge 注文 😀")]
    public void LettersDigitsAndPunctuationMakeAName(string name) => Assert.That(() => QueueName.Validate(name, "The name"), Throws.Nothing);

    [Test]
    public void ANameTakes255BytesAndNoMore()
    {
        string longest = new('€', 85);

        Assert.That(() => QueueName.Validate(longest, "The name"), Throws.Nothing);
        Assert.That(() => QueueName.Validate(longest + "x", "The name"), Throws.ArgumentException.With.Message.Contains("256 UTF-8 bytes").And.Message.Contains("255"));
    }

    [TestCase("", "empty")]
    [TestCase(" orders", "white space")]
    [TestCase("orders\t", "white space")]
    [TestCase("orders\u00a0", "white space")]
    [TestCase("or\nders", "control character")]
    [TestCase("or\0ders", "control character")]
    [TestCase("or\u007fders", "control character")]
    [TestCase("or\u0085ders", "control character")]
    [TestCase("or\u009fders", "control character")]
    public void WhatMakesNoNameIsRefusedWithTheReason(string name, string reason) =>
        Assert.That(() => QueueName.Validate(name, "The name"), Throws.ArgumentException.With.Message.StartsWith("The name").And.Message.Contains(reason).And.Property("ParamName").EqualTo("name"));

    // No attribute can hold such a text.
    private static readonly string[] s_halfPairs = ["or\ud83dders", "orders\ud83d", "\ude00orders", "or\ude00\ud83dders", "😀\ud83d"];

    [Test]
    public void HalfASurrogatePairHasNoUtf8FormAndMakesNoName([Range(0, 4)] int which) =>
        Assert.That(() => QueueName.Validate(s_halfPairs[which], "The name"), Throws.ArgumentException.With.Message.Contains("surrogate").And.Property("ParamName").EqualTo("name"));

    [Test]
    public void NullIsNoName() => Assert.That(() => QueueName.Validate(null!, "The name"), Throws.ArgumentNullException);
}

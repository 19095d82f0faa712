using System.Text;
using CsCheck;

namespace QueueKit.Tests.Messages;

public class MessageHeadersTests
{
    private static readonly ReadOnlyMemory<byte> s_noBody = Array.Empty<byte>();

    [Test]
    public void HeadersKeepTheOrderInWhichTheyWereAdded()
    {
        var headers = new MessageHeaders { { "z", 1 }, { "a", "two" }, { "m", true } };

        headers["z"] = 9;

        Assert.That(headers.Select(header => header.Key), Is.EqualTo(["z", "a", "m"]));
        Assert.That((long)headers["z"], Is.EqualTo(9));
    }

    [Test]
    public void NamesAreCaseSensitive()
    {
        var headers = new MessageHeaders { { "name", 1 }, { "Name", 2 } };

        Assert.That(headers, Has.Count.EqualTo(2));
        Assert.That(headers.TryGetValue("NAME", out _), Is.False);
    }

    [Test]
    public void AMissingHeaderIsNamed()
    {
        var headers = new MessageHeaders();

        Assert.That(() => headers["tenant"], Throws.InstanceOf<KeyNotFoundException>().With.Message.Contains("'tenant'"));
        Assert.That((headers.TryGetValue("tenant", out HeaderValue value), value.Kind), Is.EqualTo((false, HeaderKind.None)));
    }

    [Test]
    public void ANameMustBeSomething()
    {
        var headers = new MessageHeaders();

        Assert.That(() => headers[""] = 1, Throws.ArgumentException);
        Assert.That(() => headers[null!] = 1, Throws.ArgumentNullException);
        Assert.That(() => headers.TryGetValue(null!, out _), Throws.ArgumentNullException);
    }

    [Test]
    public void AValueMustBeSomething() =>
        Assert.That(() => new MessageHeaders { { "tenant", default } }, Throws.ArgumentException.With.Message.Contains("'tenant' has no value"));

    [Test]
    public void ANameTakes255BytesAndNoMore()
    {
        string longest = new('€', 85);
        var headers = new MessageHeaders { { longest, 1 } };

        Assert.That(headers, Has.Count.EqualTo(1));
        Assert.That(() => headers[longest + "x"] = 1, Throws.ArgumentException.With.Message.Contains("256"));
    }

    [Test]
    public void ATextWithoutAUtf8FormIsRefused()
    {
        // A store would change it without a word.
        Assert.That(() => new MessageHeaders { { "half \ud83d", 1 } }, Throws.ArgumentException);
        Assert.That(() => new MessageHeaders { { "name", "half \ude00" } }, Throws.ArgumentException.With.Message.Contains("'name'"));
    }

    [Test]
    public void ThereAre256HeadersAndNoMore()
    {
        var headers = new MessageHeaders();
        for (int i = 0; i < MessageHeaders.MaxCount; i++)
            headers[$"{i}"] = i;

        Assert.That(() => headers["one more"] = 1, Throws.ArgumentException.With.Message.Contains("256").And.Message.Contains("one more"));
        Assert.That(() => headers["0"] = 99, Throws.Nothing, "one that is there may change");
        Assert.That(headers, Has.Count.EqualTo(256));
    }

    [Test]
    public void TogetherTheyTake64KiBAndNoMore()
    {
        var headers = new MessageHeaders { { "a", new byte[MessageHeaders.MaxTotalBytes - 2] } };
        headers["b"] = "";

        Assert.That(headers.Size, Is.EqualTo(MessageHeaders.MaxTotalBytes));
        Assert.That(() => headers["b"] = "x", Throws.ArgumentException.With.Message.Contains("65537"));
        Assert.That(() => headers["c"] = "", Throws.ArgumentException);
        Assert.That((string)headers["b"], Is.Empty, "a refused header changes nothing");
        Assert.That(() => headers["a"] = 1, Throws.Nothing);
    }

    [Test]
    public void TheSizeIsThatOfNamesAndValues() => MessageGen.Headers.Sample(headers =>
        headers.Size == headers.Sum(header => Encoding.UTF8.GetByteCount(header.Key) + header.Value.Size));

    [Test]
    public void ManyThreadsReadFrozenHeaders()
    {
        var headers = new MessageHeaders { { "a", 1 }, { "b", "two" } };
        _ = new Message(s_noBody) { Headers = headers };

        Assert.That(ParallelEnumerable.Range(0, 10_000).All(_ => (long)headers["a"] == 1 && (string)headers["b"] == "two"), Is.True);
    }
}

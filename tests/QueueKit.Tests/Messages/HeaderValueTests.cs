using CsCheck;

namespace QueueKit.Tests.Messages;

public class HeaderValueTests
{
    private static readonly DateTimeOffset s_time = new(2026, 11, 23, 12, 0, 0, TimeSpan.FromHours(2));
    private static readonly Guid s_guid = new("00112233-4455-6677-8899-aabbccddeeff");

    [Test]
    public void EveryTypeGoesInAndComesOut()
    {
        Assert.Multiple(() =>
        {
            Assert.That((string)(HeaderValue)"text", Is.EqualTo("text"));
            Assert.That((bool)(HeaderValue)true, Is.True);
            Assert.That((bool)(HeaderValue)false, Is.False);
            Assert.That((long)(HeaderValue)long.MinValue, Is.EqualTo(long.MinValue));
            Assert.That((double)(HeaderValue)0.1, Is.EqualTo(0.1));
            Assert.That((double)(HeaderValue)double.NaN, Is.NaN);
            Assert.That((Guid)(HeaderValue)s_guid, Is.EqualTo(s_guid));
            Assert.That(((DateTimeOffset)(HeaderValue)s_time).EqualsExact(s_time), Is.True);
            Assert.That(((ReadOnlyMemory<byte>)(HeaderValue)new byte[] { 1, 2 }).ToArray(), Is.EqualTo([1, 2]));
        });
    }

    [Test]
    public void EveryValueTellsItsKindAndItsSize()
    {
        (HeaderValue Value, HeaderKind Kind, int Size)[] values =
        [
            ("€", HeaderKind.String, 3), (true, HeaderKind.Boolean, 1), (5L, HeaderKind.Int64, 8), (5.0, HeaderKind.Double, 8),
            (s_guid, HeaderKind.Guid, 16), (s_time, HeaderKind.DateTimeOffset, 10), (new byte[7], HeaderKind.Bytes, 7),
        ];

        Assert.That(values.Select(each => (each.Value.Kind, each.Value.Size)), Is.EqualTo(values.Select(each => (each.Kind, each.Size))));
        Assert.That(values.Select(each => each.Kind), Is.EquivalentTo(Enum.GetValues<HeaderKind>().Except([HeaderKind.None])), "every kind");
    }

    [Test]
    public void AnIntegerIsALong() => Assert.That(((HeaderValue)5).Kind, Is.EqualTo(HeaderKind.Int64));

    [Test]
    public void TheValueIsAnObjectOfItsOwnType() => Assert.That(
        new HeaderValue[] { "a", true, 1L, 1.5, s_guid, s_time }.Select(value => value.Value),
        Is.EqualTo(new object[] { "a", true, 1L, 1.5, s_guid, s_time }));

    [Test]
    public void BytesAreCopiedOnTheirWayIn()
    {
        byte[] bytes = [1, 2];
        HeaderValue value = bytes;

        bytes[0] = 9;

        Assert.That(((ReadOnlyMemory<byte>)value).ToArray(), Is.EqualTo([1, 2]));
    }

    [Test]
    public void AWrongCastSaysWhatTheValueIs() =>
        Assert.That(() => (long)(HeaderValue)"5", Throws.InstanceOf<InvalidCastException>().With.Message.Contains("is a String, not a Int64"));

    [Test]
    public void NothingIsNoValue()
    {
        Assert.That((default(HeaderValue).Kind, default(HeaderValue).Value, default(HeaderValue).ToString()), Is.EqualTo((HeaderKind.None, (object?)null, "")));
        Assert.That(() => (string)default(HeaderValue), Throws.InstanceOf<InvalidCastException>());
        Assert.That(() => (HeaderValue)(string)null!, Throws.ArgumentNullException);
        Assert.That(() => (HeaderValue)(byte[])null!, Throws.ArgumentNullException);
    }

    [Test]
    public void ValuesAreEqualIfTypeAndValueAre() => Gen.Select(MessageGen.Header, MessageGen.Header).Sample((left, right) =>
    {
        bool same = left.Kind == right.Kind && (left.Kind == HeaderKind.Bytes
            ? ((ReadOnlyMemory<byte>)left).Span.SequenceEqual(((ReadOnlyMemory<byte>)right).Span)
            : left.Value!.Equals(right.Value) && left.ToString() == right.ToString());
        HeaderValue copy = left;
        Assert.That(left.Equals(copy) && left == copy && left.GetHashCode() == copy.GetHashCode(), Is.True);
        return (left == right) == same && (left != right) != same && left.Equals((object)right) == same && (!same || left.GetHashCode() == right.GetHashCode());
    }, iter: 3000);

    [Test]
    public void ALongADoubleAndATruthValueAreNotTheSame()
    {
        Assert.That((HeaderValue)1L, Is.Not.EqualTo((HeaderValue)true));
        Assert.That((HeaderValue)0L, Is.Not.EqualTo((HeaderValue)0.0));
        Assert.That((HeaderValue)0.0, Is.Not.EqualTo((HeaderValue)(-0.0)), "they differ on a wire");
    }

    [Test]
    public void TheSameInstantUnderAnotherOffsetIsAnotherValue() =>
        Assert.That((HeaderValue)s_time, Is.Not.EqualTo((HeaderValue)s_time.ToUniversalTime()));

    [Test]
    public void ItReadsAsText() => Assert.That(
        new HeaderValue[] { "a", true, -5L, 1.5, s_guid, new byte[] { 0xAB, 1 } }.Select(value => value.ToString()),
        Is.EqualTo(["a", "True", "-5", "1.5", "00112233-4455-6677-8899-aabbccddeeff", "AB01"]));
}

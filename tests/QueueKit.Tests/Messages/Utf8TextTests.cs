using System.Text;
using CsCheck;

namespace QueueKit.Tests.Messages;

public class Utf8TextTests
{
    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    // Half of them surrogates, so that pairs and halves of pairs are common.
    private static readonly Gen<string> AnyText = Gen.OneOf<char>(Gen.Char['\ud800', '\udfff'], Gen.Char['\0', '\uffff']).Array[0, 12].Select(chars => new string(chars));

    [Test]
    public void ATextCountsAsManyBytesAsItsUtf8FormAndIsRefusedIfItHasNone() => AnyText.Sample(text =>
    {
        int? expected = BytesOf(text);
        if (expected is null)
            Assert.That(() => Utf8Text.ByteCount(text, "The text", "text"), Throws.ArgumentException.With.Message.Contains("The text").And.Property("ParamName").EqualTo("text"));
        else
            Assert.That(Utf8Text.ByteCount(text, "The text", "text"), Is.EqualTo(expected));
    }, iter: 5000);

    private static int? BytesOf(string text)
    {
        try
        {
            return s_strict.GetByteCount(text);
        }
        catch (EncoderFallbackException)
        {
            return null;
        }
    }
}

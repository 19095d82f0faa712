using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace QueueKit.Tests.Typed;

public class MessageFormatTests
{
    private static readonly MessageFormat<Order> s_orders = new(OrderJson.Default.Order);

    [Test]
    public void AMessageSaysWhatItHoldsAndIsReadBack()
    {
        Message message = s_orders.Write(new Order("latte", 2));

        Assert.That(Encoding.UTF8.GetString(message.Body.Span), Is.EqualTo("""{"Product":"latte","Pieces":2}"""));
        Assert.That((message.ContentType, message.Type), Is.EqualTo(("application/json", "QueueKit.Tests.Typed.Order")));
        Assert.That(s_orders.TryRead(message, out Order? order, out _), Is.True);
        Assert.That(order, Is.EqualTo(new Order("latte", 2)));
    }

    [Test]
    public void OptionsAreSaidOfTheirMessageAndOfNoOther()
    {
        var options = new SendOptions
        {
            MessageId = "m", CorrelationId = "c", ReplyTo = "replies", Priority = 4, Delay = TimeSpan.FromSeconds(3), Headers = new MessageHeaders { { "line", 7L } },
        };

        Message message = s_orders.Write(new Order("mocha", 1), options);
        Message plain = s_orders.Write(new Order("mocha", 1));

        Assert.That((message.MessageId, message.CorrelationId, message.ReplyTo, message.Priority, message.Delay), Is.EqualTo(("m", "c", "replies", (byte)4, TimeSpan.FromSeconds(3))));
        Assert.That(((long)message.Headers["line"], message.Type), Is.EqualTo((7L, plain.Type)));
        Assert.That((plain.MessageId, plain.Priority, plain.Delay, plain.Headers.Count), Is.EqualTo(((string?)null, (byte)0, (TimeSpan?)null, 0)));
        Assert.That(s_orders.Write(new Order("mocha", 1), new SendOptions { DueTime = DateTimeOffset.UnixEpoch }).DueTime, Is.EqualTo(DateTimeOffset.UnixEpoch));
    }

    [TestCase("{", "application/json", null, "System.Text.Json.JsonException")]
    [TestCase("", "application/json", null, "System.Text.Json.JsonException")]
    [TestCase("[]", null, null, "System.Text.Json.JsonException")]
    [TestCase("null", "application/json", null, "The body is null")]
    [TestCase("{}", "text/plain", null, "'text/plain'; 'application/json' is expected")]
    [TestCase("{}", "application/json", "Parcel", "'Parcel'; 'QueueKit.Tests.Typed.Order' is expected")]
    public void WhatCannotBeReadIsRejectedWithTheCause(string body, string? contentType, string? type, string cause)
    {
        var message = new Message(Encoding.UTF8.GetBytes(body)) { ContentType = contentType, Type = type };

        Assert.That(s_orders.TryRead(message, out _, out Settlement rejection), Is.False);
        Assert.That((rejection.Kind, rejection.Reason), Is.EqualTo((SettlementKind.Reject, "unreadable")));
        Assert.That(rejection.Details, Does.Contain(cause));
    }

    [TestCase(null, null)]
    [TestCase("APPLICATION/JSON", "QueueKit.Tests.Typed.Order")]
    [TestCase("application/json; charset=utf-8", null)]
    public void WhatStatesLessOrTheSameIsRead(string? contentType, string? type)
    {
        var message = new Message("""{"Product":"a","Pieces":1}"""u8.ToArray()) { ContentType = contentType, Type = type };

        Assert.That(s_orders.TryRead(message, out Order? order, out _), Is.True);
        Assert.That(order!.Product, Is.EqualTo("a"));
    }

    [Test]
    public void ALongCauseIsCutToWhatADeadLetterKeeps()
    {
        var format = new MessageFormat<Order>(new Faulty(new InvalidOperationException(new string('x', 10_000))));

        Assert.That(format.TryRead(new Message("a"u8.ToArray()), out _, out Settlement rejection), Is.False);
        Assert.That(rejection.Details, Has.Length.EqualTo(Settlement.MaxTextLength));
    }

    [Test]
    public void ATypeWithoutMetadataIsRefusedBeforeTheFirstMessage() =>
        Assert.That(() => new MessageFormat<Parcel>(new JsonMessageSerializer(OrderJson.Default)),
            Throws.InvalidOperationException.With.Message.Contains("[JsonSerializable(typeof(Parcel))]"));

    [Test]
    public void OptionsOfJsonNeedAResolver()
    {
        Assert.That(() => new JsonMessageSerializer(new JsonSerializerOptions()), Throws.ArgumentException.With.Message.Contains("TypeInfoResolver"));

        var camelCase = new MessageFormat<Order>(new JsonMessageSerializer(new JsonSerializerOptions(JsonSerializerDefaults.Web) { TypeInfoResolver = OrderJson.Default }));
        Assert.That(Encoding.UTF8.GetString(camelCase.Write(new Order("a", 1)).Body.Span), Is.EqualTo("""{"product":"a","pieces":1}"""));
    }

    [Test]
    public void ReflectionServesATypeThatNoContextKnows()
    {
        var format = new MessageFormat<Parcel>(JsonMessageSerializer.UsingReflection(), "parcel");

        Message message = format.Write(new Parcel("Main Street 1"));

        Assert.That(message.Type, Is.EqualTo("parcel"));
        Assert.That(format.TryRead(message, out Parcel? parcel, out _), Is.True);
        Assert.That(parcel, Is.EqualTo(new Parcel("Main Street 1")));
    }

    [Test]
    public void TheTypeOfAGenericTypeHasNoVersions() =>
        Assert.That(new MessageFormat<List<Order>>(OrderJson.Default.ListOrder).Type, Is.EqualTo("System.Collections.Generic.List`1[QueueKit.Tests.Typed.Order]"));

    [Test]
    public void NoValueIsTheCallersMistake() => Assert.That(() => s_orders.Write(null!), Throws.ArgumentNullException);

    [Test]
    public void AFailedWriteIsTheCallersAndLeavesTheNextOneWhole()
    {
        var faulty = new MessageFormat<Order>(new Faulty(new FormatException("no")));

        Assert.That(() => faulty.Write(new Order("a", 1)), Throws.TypeOf<FormatException>());
        Assert.That(s_orders.TryRead(s_orders.Write(new Order("b", 2)), out Order? order, out _), Is.True);
        Assert.That(order, Is.EqualTo(new Order("b", 2)));
    }

    [Test]
    public void AConverterMayItselfWriteMessages()
    {
        var options = new JsonSerializerOptions { TypeInfoResolver = OrderJson.Default };
        options.Converters.Add(new WritingConverter());
        var nested = new MessageFormat<Order>(new JsonMessageSerializer(options));

        Assert.That(Encoding.UTF8.GetString(nested.Write(new Order("a", 1)).Body.Span), Is.EqualTo("26"));
    }

    [Test]
    public void AMessageCostsItsBodyAndItself()
    {
        var order = new Order("latte", 2);
        for (int i = 0; i < 100; i++)
            s_orders.Write(order);

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1_000; i++)
            s_orders.Write(order);
        long each = (GC.GetAllocatedBytesForCurrentThread() - before) / 1_000;

        // 56 for an array of 30 bytes, 40 for the message.
        Assert.That(each, Is.LessThanOrEqualTo(96));
    }

    private sealed class Faulty(Exception error) : IMessageSerializer
    {
        public string ContentType => "application/x-faulty";

        public void EnsureSupports<T>() { }

        public void Serialize<T>(T value, IBufferWriter<byte> body)
        {
            body.Write("half a body"u8);
            throw error;
        }

        public T? Deserialize<T>(ReadOnlySpan<byte> body) => throw error;
    }

    // Writes the length of what another format makes of the value.
    private sealed class WritingConverter : JsonConverter<Order>
    {
        public override Order Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, Order value, JsonSerializerOptions options) => writer.WriteNumberValue(s_orders.Write(value).Body.Length);
    }
}

using System.Text;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;
using QueueKit;

// What a broker measures and traces, on the console and, while this runs, for Prometheus on http://localhost:9464/metrics.
// usage: Telemetry [SECONDS]    how long it goes on after its work, for somebody to look; default 0
int seconds = args is [var text] && int.TryParse(text, out int given) ? given : 0;

// <collect>
using MeterProvider metrics = Sdk.CreateMeterProviderBuilder()
    .AddMeter(MessageBroker.TelemetryName)
    .AddPrometheusHttpListener() // http://localhost:9464/metrics
    .AddConsoleExporter()
    .Build();
using TracerProvider traces = Sdk.CreateTracerProviderBuilder()
    .AddSource(MessageBroker.TelemetryName)
    .AddConsoleExporter()
    .Build();
// </collect>

await using MessageBroker broker = await MessageBroker.OpenAsync();
MessageQueue orders = await broker.DeclareQueueAsync("orders", new QueueOptions { RetryDelay = RetryDelay.None, MaxAttempts = 2 });

await using (orders.Consume((delivery, _) =>
    Encoding.UTF8.GetString(delivery.Message.Body.Span) == "latte" ? throw new InvalidOperationException("Out of milk.") : ValueTask.CompletedTask))
{
    foreach (string order in (string[])["espresso", "latte", "mocha"])
        await orders.SendAsync(new Message(Encoding.UTF8.GetBytes(order)) { MessageId = order });
    while (orders.GetSnapshot().Messages > 0)
        await Task.Delay(10);
}

traces.ForceFlush();
metrics.ForceFlush();
await Task.Delay(TimeSpan.FromSeconds(seconds));

using Microsoft.Extensions.Diagnostics.HealthChecks;
using QueueKit;
using QueueKit.Hosting;
using QueueKitWorker;

HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);

builder.Services.AddQueueKit(queueKit => queueKit
#if (durable)
    // What has been sent is on the disk: it survives crashes and power cuts.
    .Configure(options => options.UseLiteDB(builder.Configuration["Store"] ?? "queue.db"))
#endif
    .UseJson(OrderJson.Default)
    .AddQueue<Order>("orders")
    .AddHandler<Order, OrderHandler>("orders", options =>
    {
        // What a handler throws is tried again after a pause, unless a rule says better.
        options.On<UnknownProductException>(FailureOutcome.Reject("unknown product")); // a dead letter at once
        options.On<HttpRequestException>(FailureOutcome.Outage);                       // pauses the queue; no message is charged
    })
    // Limits, retries and concurrency stand in appsettings.json.
    .Bind(builder.Configuration.GetSection("QueueKit")));

builder.Services.AddHealthChecks().AddQueueKit();
builder.Services.AddSingleton<IHealthCheckPublisher, HealthLog>();
builder.Services.AddHostedService<Customer>();

// Ctrl+C and SIGTERM drain: nothing more is taken, what has been started is finished.
await builder.Build().RunAsync();

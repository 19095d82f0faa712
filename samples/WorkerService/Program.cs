using QueueKit;
using QueueKit.Hosting;
using WorkerService;

// Orders are thumbnails to be made: some fail and come back, some can never be made and become dead letters.
// Ctrl+C, or SIGTERM, stops the intake and lets what has been started finish; the rest is there at the next start.
// <host>
HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);
builder.Services.AddQueueKit(queueKit => queueKit
    .Configure(options => options.UseLiteDB(builder.Configuration["Store"] ?? "thumbnails.db"))
    .UseJson(ThumbnailJson.Default)
    .AddQueue<Thumbnail>("thumbnails", options => options.RetryDelay = RetryDelay.Exponential(TimeSpan.FromMilliseconds(200)))
    .AddHandler<Thumbnail, ThumbnailHandler>("thumbnails", options =>
    {
        options.Concurrency = 4;
        options.On<UnknownFormatException>(FailureOutcome.Reject("unknown format"));
        options.On<IOException>(FailureOutcome.Outage);
    })
    .Bind(builder.Configuration.GetSection("QueueKit"))); // QueueKit:Handlers:thumbnails:Concurrency and so on
builder.Services.AddHealthChecks().AddQueueKit();
// </host>
builder.Services.AddSingleton<Progress>();
builder.Services.AddHostedService<Camera>();

using IHost host = builder.Build();
Progress progress = host.Services.GetRequiredService<Progress>();
await host.RunAsync();
progress.Report();

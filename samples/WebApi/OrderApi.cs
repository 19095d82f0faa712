using QueueKit;
using QueueKit.Hosting;

namespace WebApi;

/// <summary>The application, so that a test can start it, too.</summary>
public static class OrderApi
{
    public static WebApplication Build(string[] args, Action<IServiceCollection>? configure = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
        builder.Services.ConfigureHttpJsonOptions(options => options.SerializerOptions.TypeInfoResolverChain.Insert(0, OrderJson.Default));
        builder.Services.AddQueueKit(queueKit => queueKit
            .Configure(options =>
            {
                if (builder.Configuration["Store"] is { } path)
                    options.UseLiteDB(path);
            })
            .UseJson(OrderJson.Default)
            .AddQueue<Order>("orders", options => (options.MaxMessages, options.Overflow) = (100, OverflowPolicy.Reject))
            .AddHandler<Order, OrderHandler>("orders", options => options.Concurrency = 2)
            .Bind(builder.Configuration.GetSection("QueueKit")));
        builder.Services.AddHealthChecks().AddQueueKit();
        builder.Services.AddSingleton<IKitchen, Kitchen>();
        configure?.Invoke(builder.Services);

        WebApplication app = builder.Build();
        // <post>
        app.MapPost("/orders", async (Order order, IQueueSender<Order> orders, HttpResponse response, CancellationToken ct) =>
        {
            // Withdrawn if the client goes away before the queue has it; never waits for room.
            SendReceipt receipt = await orders.TrySendAsync(order, ct: ct);
            if (receipt.Outcome == SendOutcome.Accepted)
                return Results.Accepted(value: new Receipt(receipt.Sequence, receipt.Durability.ToString()));
            response.Headers.RetryAfter = "1";
            return Results.StatusCode(StatusCodes.Status429TooManyRequests);
        });
        // </post>
        app.MapHealthChecks("/health");
        return app;
    }
}

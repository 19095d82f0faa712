using QueueKit;
using QueueKit.Hosting;

namespace WorkerService;

/// <summary>Takes pictures and orders their thumbnails; when all is done, and <c>--Pictures</c> says how many, it ends the program.</summary>
internal sealed class Camera(IQueueSender<Thumbnail> thumbnails, HostedBroker broker, IConfiguration configuration, IHostApplicationLifetime lifetime) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        int pictures = configuration.GetValue("Pictures", 100);
        for (int i = 1; i <= pictures; i++)
            await thumbnails.SendAsync(new Thumbnail(i % 25 == 0 ? $"{i}.xyz" : $"{i}.jpg", 320), ct: stoppingToken); // waits while the queue is full

        MessageQueue queue = broker.Broker.GetQueue("thumbnails");
        while (queue.GetSnapshot().Messages > 0)
            await Task.Delay(50, stoppingToken);
        QueueCounts counts = queue.GetSnapshot().Counts;
        Console.WriteLine($"{counts.Acked} acked, {counts.Nacked} tried again, {counts.DeadLettered} dead letters");
        lifetime.StopApplication();
    }
}

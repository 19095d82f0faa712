using QueueKit;

namespace QueueKitWorker;

/// <summary>Orders something at every start, so that there is something to see. Put your own senders in its place.</summary>
public sealed class Customer(IQueueSender<Order> orders, ILogger<Customer> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        for (int number = 1; number <= 10; number++)
            await orders.SendAsync(new Order(number, number == 7 ? "unicorn" : "latte"), ct: stoppingToken); // waits while the queue is full
        log.LogInformation("Ten orders are in the queue.");
    }
}

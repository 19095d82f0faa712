using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using WebApi;

namespace QueueKit.Hosting.Tests;

/// <summary>samples/WebApi under load from a real HTTP client, until it refuses, and until it has recovered.</summary>
public class WebApiTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    [Test]
    public async Task WhatIsAcceptedIsCookedAndWhatDoesNotFitIsRefusedUntilThereIsRoom()
    {
        var kitchen = new GatedKitchen();
        await using WebApplication app = OrderApi.Build(["--urls", "http://127.0.0.1:0"], services => services.AddSingleton<IKitchen>(kitchen));
        await app.StartAsync();
        using var client = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };

        // 100 places and nothing leaves them: of 150 orders a hundred are taken.
        ConcurrentQueue<int> accepted = [];
        ConcurrentQueue<int> refused = [];
        await Parallel.ForEachAsync(Enumerable.Range(0, 150), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (number, ct) =>
            ((await PostAsync(client, number, ct)) ? accepted : refused).Enqueue(number));
        Assert.That((accepted.Count, refused.Count), Is.EqualTo((100, 50)));

        // The kitchen opens; whoever was refused comes again until the order is taken.
        kitchen.Open();
        await Parallel.ForEachAsync(refused, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (number, ct) =>
        {
            while (!await PostAsync(client, number, ct))
                await Task.Yield();
        });
        MessageQueue queue = app.Services.GetRequiredKeyedService<MessageQueue>("orders");
        await kitchen.CookedAll(150).WaitAsync(s_patience, TimeProvider.System);

        Assert.That(kitchen.Cooked.Order(), Is.EqualTo(Enumerable.Range(0, 150)), "nothing lost, nothing twice");
        Assert.That((await client.GetAsync(new Uri("/health", UriKind.Relative))).StatusCode, Is.EqualTo(HttpStatusCode.OK));
        await app.StopAsync();
        Assert.That(queue.GetSnapshot().Counts.Accepted, Is.EqualTo(150));
    }

    private static async Task<bool> PostAsync(HttpClient client, int number, CancellationToken ct)
    {
        using HttpResponseMessage response = await client.PostAsJsonAsync(new Uri("/orders", UriKind.Relative), new WebApi.Order("latte", number), ct);
        if (response.StatusCode == HttpStatusCode.Accepted)
        {
            Receipt? receipt = await response.Content.ReadFromJsonAsync<Receipt>(ct);
            Assert.That(receipt, Is.Not.Null);
            Assert.That((receipt!.Number > 0, receipt.Durability), Is.EqualTo((true, "Transient")));
            return true;
        }
        Assert.That(response.StatusCode, Is.EqualTo(HttpStatusCode.TooManyRequests));
        Assert.That(response.Headers.RetryAfter!.Delta, Is.EqualTo(TimeSpan.FromSeconds(1)));
        return false;
    }

    private sealed class GatedKitchen : IKitchen
    {
        private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _all = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _expected = int.MaxValue;

        public ConcurrentQueue<int> Cooked { get; } = new();

        public void Open() => _open.SetResult();

        public Task CookedAll(int count)
        {
            Volatile.Write(ref _expected, count);
            CheckAll();
            return _all.Task;
        }

        public async Task CookAsync(WebApi.Order order, CancellationToken ct)
        {
            await _open.Task.WaitAsync(ct);
            Cooked.Enqueue(order.Pieces);
            CheckAll();
        }

        private void CheckAll()
        {
            if (Cooked.Count >= Volatile.Read(ref _expected))
                _all.TrySetResult();
        }
    }
}

using QueueKit.LiteDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>The power fails in the midst of any call, a thousand times: what was confirmed is there, what was not is there whole or not at all.</summary>
public class PowerCutTests
{
    // For more: dotnet test --filter PowerCutTests -- 'TestRunParameters.Parameter(name="PowerCutSeeds",value="10000")'
    private static readonly int s_seeds = TestContext.Parameters.Get("PowerCutSeeds", 150);

    // A history of commits, checkpoints and openings, cut at any call, then opened, and cut again in the midst of what follows: also of recovery.
    [Test]
    public async Task WhatWasFlushedSurvivesAndNothingIsThereInPart()
    {
        SimulatedDisk template = await SimulatedStore.NewDisk();
        var tally = new Tally();
        for (int seed = 1; seed <= s_seeds; seed++)
        {
            try
            {
                await Live(template.AfterCrash(), new Random(seed), tally, cuts: 3);
            }
            catch (Exception error)
            {
                Assert.Fail($"Seed {seed}: {error}");
            }
        }
        await TestContext.Out.WriteLineAsync($"seeds 1–{s_seeds}: {tally.Cuts} power cuts, {tally.InOpening} of them while opening, {tally.Commits} commits, {tally.Checkpoints} checkpoints, {tally.Lost} unconfirmed commits lost, {tally.Survived} survived, 0 violations");
        Assert.That(tally, Has.Property(nameof(Tally.InOpening)).GreaterThan(50).And.Property(nameof(Tally.Lost)).GreaterThan(50).And.Property(nameof(Tally.Survived)).GreaterThan(50));
    }

    [Test]
    public async Task AStoreInTheMakingIsThereOrNot()
    {
        for (int seed = 1; seed <= 100; seed++)
        {
            var random = new Random(seed);
            var disk = new SimulatedDisk { Random = random, CutAt = random.Next(1, 16) };
            try
            {
                LiteMessageStore store = SimulatedStore.Open(disk);
                store.Commit(SomeBatch.Of(batch => batch.Put(SomeBatch.Key(1), new byte[3])), FlushLevel.Written);
                await store.DisposeAsync();
            }
            catch (StoreException)
            {
                Assert.That(disk.IsCut, Is.True, $"seed {seed}");
            }

            await using LiteMessageStore again = SimulatedStore.Open(disk.Reboot(random));

            Assert.That(SomeBatch.Describe(again), Has.Length.LessThanOrEqualTo(1), $"seed {seed}");
            again.Commit(SomeBatch.Of(batch => batch.Put(SomeBatch.Key(2), new byte[3])), FlushLevel.Flushed);
        }
    }

    // A harness that catches nothing proves nothing: a disk that does not flush must be noticed.
    [Test]
    public async Task ADiskThatLiesAboutFlushesIsNoticed()
    {
        SimulatedDisk template = await SimulatedStore.NewDisk();
        int noticed = 0;
        for (int seed = 1; seed <= 60; seed++)
        {
            try
            {
                SimulatedDisk disk = template.AfterCrash();
                disk.LiesAboutFlushes = true;
                await Live(disk, new Random(seed), new Tally(), cuts: 1);
            }
            catch (Exception error) when (error is LostCommitException or StoreException)
            {
                noticed++;
            }
        }
        Assert.That(noticed, Is.GreaterThan(10));
    }

    private static async Task Live(SimulatedDisk disk, Random random, Tally tally, int cuts)
    {
        var model = new StoreModel();
        for (int cut = 0; cut <= cuts; cut++)
        {
            disk.Random = random;
            disk.CutAt = cut == cuts ? 0 : random.Next(1, 60);
            // From the last state that is safe to the one that was being committed: any of them may be found.
            List<StoreModel> possible = [model];
            try
            {
                await Run(disk, random, possible, tally);
            }
            catch (StoreException) when (disk.IsCut)
            {
                tally.Cuts++;
            }
            disk = disk.Reboot(random);
            model = await Recover(disk, random, possible, tally);
            disk = disk.AfterCrash();
        }
    }

    private static async Task Run(SimulatedDisk disk, Random random, List<StoreModel> possible, Tally tally)
    {
        var clock = new VirtualClock();
        LiteMessageStore store = SimulatedStore.Open(disk, clock);
        int commits = random.Next(1, 25);
        for (int i = 0; i < commits; i++)
        {
            StoreBatch batch = SomeBatch.Random(random);
            FlushLevel level = random.Next(3) == 0 ? FlushLevel.Written : FlushLevel.Flushed;
            StoreModel next = possible[^1].Copy();
            next.Apply(batch);
            possible.Add(next);
            store.Commit(batch, level);
            tally.Commits++;
            if (level == FlushLevel.Flushed)
                possible.RemoveRange(0, possible.Count - 1);
            if (random.Next(6) == 0)
            {
                clock.Advance(TimeSpan.FromSeconds(3));
                tally.Checkpoints++;
            }
        }
        if (random.Next(3) == 0)
            await store.DisposeAsync();
    }

    private static async Task<StoreModel> Recover(SimulatedDisk disk, Random random, List<StoreModel> possible, Tally tally)
    {
        // The power may fail while the store is being opened, and again.
        for (int calls = 1; random.Next(2) == 0; calls++)
        {
            disk.CutAt = random.Next(1, 8);
            try
            {
                SimulatedStore.Open(disk);
            }
            catch (StoreException) when (disk.IsCut)
            {
                tally.InOpening++;
            }
            disk = disk.Reboot(random);
        }
        disk.CutAt = 0;
        await using LiteMessageStore store = SimulatedStore.Open(disk);
        string[] found = SomeBatch.Describe(store);
        int index = possible.FindLastIndex(state => state.Describe().SequenceEqual(found));
        if (index < 0)
            throw new LostCommitException($"The {found.Length} records found are none of the {possible.Count} possible states. The last one has also:\n{string.Join('\n', possible[^1].Describe().Except(found))}");
        tally.Survived += index;
        tally.Lost += possible.Count - 1 - index;
        return possible[index];
    }

    private sealed class LostCommitException(string message) : Exception(message);

    private sealed class Tally
    {
        public int Cuts { get; set; }
        public int InOpening { get; set; }
        public int Commits { get; set; }
        public int Checkpoints { get; set; }
        public int Lost { get; set; }
        public int Survived { get; set; }
    }
}

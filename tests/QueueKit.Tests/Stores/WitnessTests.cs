using System.Diagnostics;
using System.Text;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>The file by itself: who may have it, what it remembers over which end, and what is said when something is wrong with it.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class WitnessTests : IDisposable
{
    private static readonly Guid s_boot = new("11111111-1111-1111-1111-111111111111");
    private static readonly Guid s_otherBoot = new("22222222-2222-2222-2222-222222222222");
    private static readonly Dictionary<int, WitnessedDelivery> s_none = [];

    private readonly TestFolder _folder = new();
    private readonly VirtualClock _clock = new();

    private string StorePath => _folder.File("queue.db");

    private string WitnessPath => StorePath + "-witness";

    public void Dispose() => _folder.Delete();

    // ---- The lock

    [Test]
    public void ASecondOpeningInThisProcessIsTurnedAwayAndToldByWhom()
    {
        using Witness witness = Open();

        StoreException error = Refused(() => Open(), StoreFault.InUse);

        Assert.That(error.Message, Does.Contain("another broker of this process").And.Contain($"{Environment.ProcessId}").And.Contain("2026-11-23 12:00:00Z").And.Contain("queue.db'"));
        Assert.That(error.Path, Is.EqualTo(StorePath));
    }

    [Test]
    public void WhatIsLetGoCanBeOpenedAgain([Values] bool abandoned)
    {
        Witness witness = Open();
        if (abandoned)
            witness.Abandon();
        witness.Dispose();
        witness.Dispose();

        Open(storeExists: true).Dispose();
    }

    [Test]
    public void AnotherProcessKeepsTheStoreToItself()
    {
        Open().Dispose();
        using Process other = Shell($"exec 9<>'{WitnessPath}'; flock -xn 9 && echo locked && read line");
        Assert.That(other.StandardOutput.ReadLine(), Is.EqualTo("locked"));

        StoreException error = Refused(() => Open(storeExists: true), StoreFault.InUse);
        Assert.That(error.Message, Does.Contain("in use"));

        other.StandardInput.WriteLine();
        other.WaitForExit();
        Open(storeExists: true).Dispose();
    }

    [Test]
    public void TheStoreIsKeptFromAnotherProcess()
    {
        using Witness witness = Open();

        using Process other = Shell($"exec 9<>'{WitnessPath}'; flock -xn 9 && echo locked || echo refused");

        Assert.That(other.StandardOutput.ReadLine(), Is.EqualTo("refused"));
        other.WaitForExit();
    }

    [Test]
    public void AWitnessThatWasReplacedAfterItsOpeningIsAnother()
    {
        using WitnessFile file = WitnessFile.Open(WitnessPath);
        byte[] opening = WitnessOwner.Me(_clock).Encode();
        file.Write(opening, 0);
        Assert.That(file.IsWhatThePathLeadsTo(opening), Is.True);

        File.Delete(WitnessPath);
        Assert.That(file.IsWhatThePathLeadsTo(opening), Is.False);

        Open().Dispose();
        Assert.That(file.IsWhatThePathLeadsTo(opening), Is.False);
    }

    [Test]
    public void TheOwnerIsNamedWithItsProcessItsMachineAndItsTime()
    {
        var owner = new WitnessOwner(4711, _clock.GetUtcNow(), "indexer", "elsewhere", _clock.GetUtcNow() + TimeSpan.FromHours(1), Guid.Empty);

        Assert.That(WitnessOwner.Decode(owner.Encode(), out _, out _), Is.EqualTo(owner));
        Assert.That(owner.ToString(), Is.EqualTo("process 4711 (indexer, started 2026-11-23 12:00:00Z) on elsewhere, since 2026-11-23 13:00:00Z"));
        Assert.That(WitnessOwner.Decode((owner with { ProcessName = new string('é', 100), Machine = "" }).Encode(), out _, out _)!.ProcessName, Is.EqualTo(new string('é', 60)));
    }

    [Test]
    public void TheFileIsReallyWrittenAndNotSparse()
    {
        Assume.That(OperatingSystem.IsLinux(), "Counts blocks with stat.");
        using Witness witness = Open();
        witness.BeginLife(0, 0, s_none);
        witness.Grow();

        using Process stat = Shell($"stat -c '%s %b' '{WitnessPath}'");
        long[] figures = [.. stat.StandardOutput.ReadLine()!.Split(' ').Select(long.Parse)];
        stat.WaitForExit();

        Assert.That(figures[0], Is.EqualTo(4096 + 2 * WitnessSlots.BlockBytes));
        Assert.That(figures[1] * 512, Is.GreaterThanOrEqualTo(figures[0]));
    }

    // ---- The numbers

    [Test]
    public void AfterTheProcessHasEndedEveryConfirmedCommitIsAskedFor()
    {
        Live(witness =>
        {
            witness.Committed(1, FlushLevel.Flushed);
            witness.Committed(2, FlushLevel.Written);
        });

        using Witness witness = Open(storeExists: true);
        Assert.That((witness.WrittenCommit, witness.FlushedCommit), Is.EqualTo((2, 1)));
        Assert.That(() => witness.Verify(2), Throws.Nothing);
        Assert.That(() => witness.Verify(3), Throws.Nothing);
        Assert.That(Refused(() => witness.Verify(0), StoreFault.Unreadable).Message, Does.Contain("2 confirmed commits are missing").And.Contain("backup").And.Contain($"delete '{WitnessPath}'"));
    }

    [Test]
    public void AfterAPowerCutOnlyFlushedOnesAre()
    {
        Live(witness =>
        {
            witness.Committed(7, FlushLevel.Flushed);
            witness.Committed(9, FlushLevel.Written);
        });

        using Witness witness = Open(storeExists: true, boot: s_otherBoot);
        Assert.That(() => witness.Verify(7), Throws.Nothing);
        Assert.That(Refused(() => witness.Verify(6), StoreFault.Unreadable).Message, Does.Contain("1 confirmed commits"));
    }

    [Test]
    public void AStoreThatIsGoneIsMissedBeforeAnotherIsCreatedInItsPlace()
    {
        Live(witness => witness.Committed(12, FlushLevel.Flushed));

        Assert.That(Refused(() => Open(storeExists: false), StoreFault.Unreadable).Message, Does.Contain("12 confirmed commits are missing").And.Contain("gone"));
        File.Delete(WitnessPath);
        Open(storeExists: false).Dispose();
    }

    // ---- Clean, poisoned, missing

    [Test]
    public void AGoodEndIsKnownAndAnyOtherToo()
    {
        Live(witness => witness.ComeToRest(), end: witness => witness.Dispose());
        Witness after = Open(storeExists: true);
        Assert.That(after.WasClean, Is.True);
        after.Dispose();

        // Opened and closed, but no life was begun: the state is the old one.
        after = Open(storeExists: true);
        Assert.That(after.WasClean, Is.True);
        after.BeginLife(0, 0, s_none);
        after.Dispose();

        Assert.That(Open(storeExists: true).Use(witness => witness.WasClean), Is.False);
    }

    [Test]
    public void APoisonedStoreIsRefusedUntilItIsRepaired()
    {
        Live(witness =>
        {
            witness.SetPoison("fdatasync failed: Input/output error.");
            witness.SetPoison("what followed");
            witness.ComeToRest();
        }, end: witness => witness.Dispose());

        byte[] before = File.ReadAllBytes(WitnessPath);
        StoreException error = Refused(() => Open(storeExists: true), StoreFault.Unreadable);
        Assert.That(error.Message, Does.Contain("Input/output error").And.Contain("repair"));
        Assert.That(File.ReadAllBytes(WitnessPath), Is.EqualTo(before));

        using (Witness repair = Open(storeExists: true, forRepair: true))
        {
            Assert.That(repair.Poison, Does.Contain("Input/output error"));
            repair.ClearPoison();
            Assert.That(repair.Poison, Is.Null);
        }
        Open(storeExists: true).Dispose();
    }

    [Test]
    public void ALongReasonIsCutAndAStrangeOneKept()
    {
        Live(witness => witness.SetPoison(string.Concat(Enumerable.Repeat("flüsh ", 1000))));
        Assert.That(Open(storeExists: true, forRepair: true).Use(witness => witness.Poison), Has.Length.GreaterThan(800).And.StartWith("flüsh flüsh"));
    }

    [Test]
    public void AMissingWitnessBesideAStoreIsNoticedUntilALifeHasBegun()
    {
        for (int i = 0; i < 2; i++)
        {
            using Witness witness = Open(storeExists: true);
            Assert.That((witness.WasMissing, witness.IsComplete), Is.EqualTo((i == 0, false)));
        }
        using Witness again = Open(storeExists: true);
        again.BeginLife(100, doubtfulThrough: 5, s_none);
        again.Abandon();
        Assert.That(Open(storeExists: true).Use(witness => (witness.IsComplete, witness.DoubtfulThrough)), Is.EqualTo((true, 5)));
    }

    [Test]
    public void ANewWitnessOfANewStoreHasNothingToTell() =>
        Assert.That(Open().Use(witness => (witness.WasMissing, witness.IsComplete, witness.WasClean, witness.Deliveries.Count)), Is.EqualTo((false, true, true, 0)));

    [Test]
    public void ACreationThatWasCutOffIsBegunAgain([Values(0, 1, 512, 4096, 100_000, 4096 + WitnessSlots.BlockBytes)] int written, [Values] bool withLife)
    {
        byte[] content = new byte[written];
        if (withLife && written >= 1024)
            WitnessLife.Blank(storeExists: false).CopyTo(content, 512);
        File.WriteAllBytes(WitnessPath, content);

        Live(witness => witness.Committed(1, FlushLevel.Flushed));
        Assert.That(Open(storeExists: true).Use(witness => witness.WrittenCommit), Is.EqualTo(1));
    }

    // ---- Damage

    [Test]
    public void DamageIsSaidWithFileCauseAndRemedyAndNothingIsTouched()
    {
        Live(witness => witness.Slots.Take(1, 42, WitnessSlots.Word(1, 42, SlotState.Started, suspect: false)));
        byte[] sound = File.ReadAllBytes(WitnessPath);

        AssertDamaged(sound[..0x200], "cut off");
        AssertDamaged(sound[..5000], "cut off");
        AssertDamaged(sound[..^1], "cut off");
        AssertDamaged(sound[..100], "100 bytes");
        AssertDamaged(With(sound, 0, 0), "begin");
        AssertDamaged(With(sound, 20, 0xFF), "checksum");
        AssertDamaged(With(sound, 300, 0xFF), "checksum");
        AssertDamaged(With(sound, 536, 7), "contradict");
        AssertDamaged(With(sound, 552, 9), "contradict");
        AssertDamaged(With(sound, 576, 0), "contradict");
        AssertDamaged(With(sound, 4096, 0xFF), "slot");
        AssertDamaged(With(sound, 4096 + 12, 0xFF), "slot");
        AssertDamaged(Encoding.UTF8.GetBytes("this is a text and no witness at all".PadRight(300_000)), "begin");
        AssertDamaged([.. new byte[512], .. sound[512..]], "begin");
    }

    [Test]
    public void ANewerFormatIsLeftAlone()
    {
        Live(_ => { });
        byte[] newer = With(File.ReadAllBytes(WitnessPath), 8, 2);
        File.WriteAllBytes(WitnessPath, newer);

        Assert.That(Refused(() => Open(storeExists: true), StoreFault.Unreadable).Message, Does.Contain("newer version").And.Contain(WitnessPath));
        Assert.That(File.ReadAllBytes(WitnessPath), Is.EqualTo(newer));
    }

    [Test]
    public void AnyFlippedByteOfTheOwnersSectorIsNoticed()
    {
        Live(_ => { });
        byte[] sound = File.ReadAllBytes(WitnessPath);
        for (int i = 0; i < WitnessOwner.Length; i++)
        {
            File.WriteAllBytes(WitnessPath, With(sound, i, (byte)(sound[i] ^ 0x10)));
            Refused(() => Open(storeExists: true), StoreFault.Unreadable);
        }
    }

    [Test]
    public void AFolderThatIsNotThereOrIsAFileIsSaid()
    {
        Assert.That(Refused(() => Witness.Open(_folder.File("no/such/folder/queue.db"), storeExists: false), StoreFault.Unreadable).Message, Does.Contain("cannot be opened").And.Contain("no/such/folder"));
        Directory.CreateDirectory(WitnessPath);
        Refused(() => Open(), StoreFault.Unreadable);
    }

    // ---- A full disk

    [Test]
    public void OnAFullDiskTheOpeningIsRefusedAndTriedAgainWhenThereIsRoom()
    {
        using SmallDisk disk = Mount(kilobytes: 128);
        string store = disk.PathOf("queue.db");

        StoreException error = Refused(() => Witness.Open(store, storeExists: false), StoreFault.Refused);
        Assert.That(error.Message, Does.Contain("no room").And.Contain(store).And.Contain("Make room"));

        disk.Resize(kilobytes: 512);
        using Witness witness = Witness.Open(store, storeExists: false);
        Assert.That(witness.IsComplete, Is.True);
    }

    [Test]
    public void OnAFullDiskItStaysAsLargeAsItIs()
    {
        using SmallDisk disk = Mount(kilobytes: 300);
        string store = disk.PathOf("queue.db");
        using (Witness witness = Witness.Open(store, storeExists: false))
        {
            witness.BeginLife(0, 0, s_none);
            int free = witness.Slots.Free;
            Assert.That(() => witness.Grow(), Throws.InstanceOf<IOException>());
            Assert.That(witness.Slots.Free, Is.EqualTo(free));
            // Every slot has its place on the disk: a store into one that had none would end the process here.
            for (int slot = 1; slot <= WitnessSlots.PerBlock; slot++)
                witness.Slots.Take(slot, slot, WitnessSlots.Word(1, slot, SlotState.Started, suspect: false));
            witness.Abandon();
        }

        using Witness again = Witness.Open(store, storeExists: true);
        Assert.That(again.Deliveries, Has.Count.EqualTo(WitnessSlots.PerBlock));
        disk.Resize(kilobytes: 1024);
        Assert.That(again.Grow(), Is.True);
    }

    // ---- The slots

    [Test]
    public void WhatIsOutIsFoundAfterAKill()
    {
        Live(witness =>
        {
            witness.Slots.Take(1, 10, WitnessSlots.Word(7, 10, SlotState.Offered, suspect: false));
            witness.Slots.Take(2, 11, WitnessSlots.Word(7, 11, SlotState.Offered, suspect: false));
            witness.Slots.Change(2, WitnessSlots.Word(7, 11, SlotState.Offered, false), WitnessSlots.Word(7, 11, SlotState.Started, false));
            witness.Slots.Take(WitnessSlots.PerBlock, long.MaxValue, WitnessSlots.Word(uint.MaxValue, long.MaxValue, SlotState.Seen, suspect: true));
            witness.Slots.Take(5, 12, WitnessSlots.Word(7, 12, SlotState.Started, suspect: false));
            witness.Slots.Set(5, 0);
        });

        using Witness witness = Open(storeExists: true);
        Assert.That(witness.Deliveries, Is.EqualTo(
        [
            new WitnessedDelivery(1, 7, 10, SlotState.Offered, false),
            new WitnessedDelivery(2, 7, 11, SlotState.Started, false),
            new WitnessedDelivery(WitnessSlots.PerBlock, uint.MaxValue, long.MaxValue, SlotState.Seen, true),
        ]));
        Assert.That(Open2(s_otherBoot), Is.Zero, "After a power cut the slots say nothing.");

        int Open2(Guid boot)
        {
            witness.Abandon();
            return Open(storeExists: true, boot: boot).Use(other => other.IsComplete ? -1 : other.Deliveries.Count);
        }
    }

    [Test]
    public void AStartThatComesTooLateChangesNothing()
    {
        using Witness witness = Open();
        witness.BeginLife(0, 0, s_none);
        witness.Slots.Take(3, 8, WitnessSlots.Word(1, 8, SlotState.Offered, suspect: false));

        witness.Slots.Change(3, WitnessSlots.Word(1, 7, SlotState.Offered, false), WitnessSlots.Word(1, 7, SlotState.Started, false));
        witness.Abandon();

        Assert.That(Open(storeExists: true).Use(found => found.Deliveries), Is.EqualTo([new WitnessedDelivery(3, 1, 8, SlotState.Offered, false)]));
    }

    [Test]
    public void ALateWriterTouchesNeitherMemoryNorTheNextOwnersFile()
    {
        Witness witness = Open();
        witness.BeginLife(0, 0, s_none);
        witness.Abandon();
        byte[] before = File.ReadAllBytes(WitnessPath);

        witness.Slots.Take(3, 8, WitnessSlots.Word(1, 8, SlotState.Started, suspect: false));
        witness.Committed(5, FlushLevel.Flushed);
        witness.SetPoison("too late");
        witness.Grow();

        Assert.That(File.ReadAllBytes(WitnessPath), Is.EqualTo(before));
    }

    [Test]
    public void AGoodEndKeepsWhatConsumersHaveSeenAndNothingElse()
    {
        Live(witness =>
        {
            witness.Slots.Take(1, 1, WitnessSlots.Word(1, 1, SlotState.Offered, suspect: false));
            witness.Slots.Take(2, 2, WitnessSlots.Word(1, 2, SlotState.Started, suspect: false));
            witness.Slots.Take(3, 3, WitnessSlots.Word(1, 3, SlotState.Offered, suspect: true));
            witness.ComeToRest();
        }, end: witness => witness.Dispose());

        Assert.That(Open(storeExists: true, boot: s_otherBoot).Use(witness => witness.Deliveries), Is.EqualTo(
        [
            new WitnessedDelivery(2, 1, 2, SlotState.Seen, false),
            new WitnessedDelivery(3, 1, 3, SlotState.Seen, true),
        ]));
    }

    [Test]
    public void ANewLifeKeepsWhatItIsToldToAndFreesTheRest()
    {
        Live(witness =>
        {
            for (int slot = 1; slot <= 1000; slot++)
                witness.Slots.Take(slot, slot, WitnessSlots.Word(1, slot, SlotState.Started, suspect: false));
        });
        long incarnation = 0;
        Open(storeExists: true).Use(witness =>
        {
            incarnation = witness.Incarnation;
            witness.BeginLife(0, 0, new Dictionary<int, WitnessedDelivery> { [500] = witness.Deliveries[499] with { IsSuspect = true } });
            Assert.That(witness.Incarnation, Is.GreaterThan(incarnation));
            Assert.That(witness.Slots.Free, Is.EqualTo((WitnessSlots.PerBlock - 1) / SlotMagazine.Size * SlotMagazine.Size));
            return 0;
        });

        Assert.That(Open(storeExists: true).Use(witness => witness.Deliveries), Is.EqualTo([new WitnessedDelivery(500, 1, 500, SlotState.Seen, true)]));
    }

    [Test]
    public void ItGrowsByWholeBlocksAndGivesThemBackWhenTheyAreEmpty()
    {
        const int There = 2 * WitnessSlots.PerBlock + 17;
        Live(witness =>
        {
            witness.Grow();
            witness.Grow();
            witness.Slots.Take(There, 9, WitnessSlots.Word(4, 9, SlotState.Started, suspect: false));
        });
        Assert.That(new FileInfo(WitnessPath).Length, Is.EqualTo(4096 + 3 * WitnessSlots.BlockBytes));

        Live(witness => Assert.That(witness.Deliveries, Is.EqualTo([new WitnessedDelivery(There, 4, 9, SlotState.Started, false)])));
        Live(_ => { });
        Assert.That(new FileInfo(WitnessPath).Length, Is.EqualTo(4096 + WitnessSlots.BlockBytes));
    }

    [Test]
    public void AGrowthThatWasCutOffIsNoDamage()
    {
        Live(_ => { });
        using (FileStream file = File.Open(WitnessPath, FileMode.Append))
            file.Write(new byte[1000]);

        Live(_ => { });
        Assert.That(new FileInfo(WitnessPath).Length, Is.EqualTo(4096 + WitnessSlots.BlockBytes));
    }

    [Test]
    public void ItAsksOnceForMoreSlotsBeforeTheyRunOut()
    {
        using Witness witness = Open();
        witness.BeginLife(0, 0, s_none);
        int asked = 0;
        witness.Slots.GrowthWanted = () => asked++;

        while (asked == 0 && witness.Slots.TryTake() is not null) { }
        Assert.That((asked, witness.Slots.Free), Is.EqualTo((1, WitnessSlots.PerBlock / 2 - SlotMagazine.Size)));
        while (witness.Slots.TryTake() is not null) { }
        Assert.That(asked, Is.EqualTo(1));

        witness.Grow();
        Assert.That(witness.Slots.Free, Is.EqualTo(WitnessSlots.PerBlock));
        while (witness.Slots.TryTake() is not null) { }
        Assert.That(asked, Is.EqualTo(2));
    }

    [Test]
    public async Task NoSlotIsGivenOutTwiceHoweverManyTakeAndGiveAtOnce()
    {
        using Witness witness = Open();
        witness.BeginLife(0, 0, s_none);
        int[] holders = new int[3 * WitnessSlots.PerBlock + 1];
        bool isTwice = false;

        await Task.WhenAll(Enumerable.Range(1, 4).Select(me => Task.Run(() =>
        {
            var random = new Random(me);
            var mine = new Stack<SlotMagazine>();
            for (int i = 0; i < 20_000; i++)
            {
                if (random.Next(2) == 0 && mine.Count < 50 && witness.Slots.TryTake() is { } taken)
                {
                    mine.Push(taken);
                    Mark(taken, 0, me);
                }
                else if (mine.TryPop(out SlotMagazine? back))
                {
                    Mark(back, me, 0);
                    witness.Slots.Give(back);
                }
                if (me == 1 && i is 5_000 or 10_000)
                    witness.Grow();
            }
            while (mine.TryPop(out SlotMagazine? back))
            {
                Mark(back, me, 0);
                witness.Slots.Give(back);
            }
        })));

        Assert.That(isTwice, Is.False);
        Assert.That(witness.Slots.Free, Is.EqualTo(witness.Slots.Blocks * WitnessSlots.PerBlock));

        void Mark(SlotMagazine magazine, int from, int to)
        {
            var slots = new List<int>();
            while (magazine.Count > 0)
                slots.Add(magazine.Pop());
            foreach (int slot in slots)
            {
                isTwice |= Interlocked.CompareExchange(ref holders[slot], to, from) != from;
                magazine.Push(slot);
            }
        }
    }

    [Test]
    public void DeliveriesWithoutASlotMakeEverythingDoubtfulWhileTheyAreOut([Values] bool back)
    {
        Live(witness =>
        {
            witness.CountUntracked(+2);
            if (back)
                witness.CountUntracked(-2);
        });

        Assert.That(Open(storeExists: true).Use(witness => witness.IsComplete), Is.EqualTo(back));
    }

    [Test]
    public void WhereTheMachineHasNoNumberForItsStartTheTimeServes()
    {
        Assert.That(BootId.AreSame(s_boot, s_boot), Is.True);
        Assert.That(BootId.AreSame(s_boot, s_otherBoot), Is.False);
        Assert.That(BootId.AreSame(Started(1_000_000_000), Started(1_000_000_001)), Is.True);
        Assert.That(BootId.AreSame(Started(1_000_000_000), Started(1_000_000_000 + TimeSpan.TicksPerMinute)), Is.False);
        Assert.That(BootId.AreSame(Guid.Empty, Started(1)), Is.False);
        Assert.That(BootId.AreSame(BootId.Read(_clock), BootId.Read(_clock)), Is.True);

        static Guid Started(long ticks) => new([.. new byte[8], .. BitConverter.GetBytes(ticks)]);
    }

    // ---- Means

    private Witness Open(bool storeExists = false, bool forRepair = false, Guid? boot = null) => Witness.Open(StorePath, storeExists, forRepair, _clock, boot ?? s_boot);

    // A life of a store: opened, begun, lived, and ended as by a kill if not otherwise.
    private void Live(Action<Witness> live, Action<Witness>? end = null)
    {
        Witness witness = Open(storeExists: File.Exists(WitnessPath));
        witness.BeginLife(witness.WrittenCommit, 0, s_none);
        live(witness);
        (end ?? (witness => witness.Abandon()))(witness);
    }

    private SmallDisk Mount(int kilobytes)
    {
        string path = Directory.CreateDirectory(_folder.File("disk")).FullName;
        if (!OperatingSystem.IsLinux() || !Environment.IsPrivilegedProcess || !SmallDisk.Run($"mount -t tmpfs -o size={kilobytes}k tmpfs '{path}'"))
            Assert.Ignore("A small file system can be mounted by root on Linux only: a full disk is not tried.");
        return new SmallDisk(path);
    }

    // A file system in memory that is soon full.
    private sealed class SmallDisk(string path) : IDisposable
    {
        public static bool Run(string command)
        {
            using Process shell = Process.Start("/bin/sh", ["-c", command]);
            shell.WaitForExit();
            return shell.ExitCode == 0;
        }

        public string PathOf(string name) => Path.Combine(path, name);

        public void Resize(int kilobytes) => Assert.That(Run($"mount -o remount,size={kilobytes}k '{path}'"), Is.True);

        // Lazily: mappings of files that were let go may still be there.
        public void Dispose() => Run($"umount -l '{path}'");
    }

    private void AssertDamaged(byte[] content, string cause)
    {
        File.WriteAllBytes(WitnessPath, content);
        StoreException error = Refused(() => Open(storeExists: true), StoreFault.Unreadable);
        Assert.That(error.Message, Does.Contain(WitnessPath).And.Contain("damaged").And.Contain(cause).And.Contain("delete the damaged file"));
        Assert.That(File.ReadAllBytes(WitnessPath), Is.EqualTo(content));
    }

    private static byte[] With(byte[] content, int offset, byte value)
    {
        byte[] changed = [.. content];
        changed[offset] = value;
        return changed;
    }

    private static StoreException Refused(Action open, StoreFault fault)
    {
        StoreException error = Assert.Throws<StoreException>(() => open())!;
        Assert.That(error.Fault, Is.EqualTo(fault));
        return error;
    }

    // With "flock" of util-linux, where there is one.
    private static Process Shell(string script)
    {
        if (OperatingSystem.IsWindows() || !Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(folder => File.Exists(Path.Combine(folder, "flock"))))
            Assert.Ignore("There is no 'flock' command on this machine: the lock is not tried from another process.");
        return Process.Start(new ProcessStartInfo("/bin/sh", ["-c", script]) { RedirectStandardOutput = true, RedirectStandardInput = true })!;
    }
}

internal static class WitnessTestExtensions
{
    /// <summary>Asks a witness something, and lets it go as a kill would.</summary>
    public static T Use<T>(this Witness witness, Func<Witness, T> ask)
    {
        T answer = ask(witness);
        witness.Abandon();
        return answer;
    }
}

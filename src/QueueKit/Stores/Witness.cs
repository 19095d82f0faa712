using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.IO.MemoryMappedFiles;
using System.Text;

namespace QueueKit.Stores;

/// <summary>A small file beside a store on a disk: its lock, and a witness of what happened to it that does not depend on the store's own files.</summary>
/// <remarks>
/// It names the owner, so that a second one is turned away and told by whom. It knows the number of the last commit that the store confirmed,
/// so that a store which has lost some is found out when it opens. It knows which messages consumers had when their process ended. And it
/// remembers that a write or a flush failed, after which the files of the store are not to be believed until they are repaired.
/// It is mapped into memory: writing to it costs no system call, and what is written survives the process. A power cut takes what
/// the operating system had not written yet, so after one it says less.
/// <para>A store opens it before it touches its own files, returns it as <see cref="IMessageStore.Witness"/>, and disposes it after it has closed them.
/// If closing them fails it calls <see cref="Abandon"/> instead.</para>
/// </remarks>
/// <example><code>
/// Witness witness = Witness.Open(path, storeExists: File.Exists(path));   // throws: in use, damaged, poisoned, or the store is gone
/// </code></example>
[Experimental("QUEUEKIT001")]
public sealed class Witness : IDisposable
{
    private const string Suffix = "-witness";
    private const int MaxReplacements = 100;

    private readonly WitnessFile _file;
    private readonly WitnessLife _life;
    private readonly TimeProvider _time;
    private readonly Guid _boot;
    private readonly string? _repair;
    private readonly Lock _growth = new();
    private long _written;
    private long _flushed;
    private string? _lastPoison;
    private bool _isAtRest;
    private int _isClosed;

    // Maps a file that is complete and sound.
    private Witness(WitnessFile file, List<WitnessedDelivery>? deliveries, WitnessOwner? previousOwner, bool wasMissing, string? repair, TimeProvider time, Guid boot)
    {
        _file = file;
        _time = time;
        _boot = boot;
        _repair = repair;
        Path = file.Path;
        WasMissing = wasMissing;
        PreviousOwner = previousOwner;
        _life = new WitnessLife(file.Map(0, WitnessLife.PageBytes));
        _written = _life.Written;
        _flushed = _life.Flushed;
        WasClean = _life.IsClean;
        IsSameBoot = BootId.AreSame(_life.Boot, boot);
        for (int block = 0; block < _life.Blocks; block++)
            Slots.AddBlock(file.Map(WitnessLife.PageBytes + (long)block * WitnessSlots.BlockBytes, WitnessSlots.BlockBytes), isFree: false);
        Deliveries = deliveries ?? [];
        AreSlotsReadable = deliveries is not null;
        IsComplete = (WasClean || IsSameBoot) && _life.Untracked == 0;
    }

    /// <summary>The witness's own file.</summary>
    public string Path { get; }

    /// <summary>The store's, as it was given.</summary>
    public string StorePath => StorePathOf(Path);

    /// <summary>Whether a store was there and no witness: then nobody knows which of its messages were delivered before, and whether it is complete.</summary>
    public bool WasMissing { get; }

    /// <summary>The number of the last commit that the store has confirmed at any level.</summary>
    public long WrittenCommit => Volatile.Read(ref _written);

    /// <summary>The number of the last commit that the store has confirmed as flushed, or that a later flush covers.</summary>
    public long FlushedCommit => Volatile.Read(ref _flushed);

    /// <summary>Why the store's files are not to be believed; null if they are.</summary>
    public string? Poison => Volatile.Read(ref _isClosed) != 0 ? _lastPoison : _life.Poison;

    /// <summary>Whether the broker has found everything that was confirmed, and goes on with the store. Before that a store leaves its files as they are, also when it is disposed: what is wrong with them can then still be looked at, and repaired.</summary>
    public bool IsAccepted { get; private set; }

    internal WitnessOwner? PreviousOwner { get; }

    internal WitnessSlots Slots { get; } = new();

    /// <summary>Whether the last life of the store was ended in good order.</summary>
    internal bool WasClean { get; }

    /// <summary>Whether the machine has not been started anew since the last life began.</summary>
    internal bool IsSameBoot { get; }

    /// <summary>Whether <see cref="Deliveries"/> is all there is to know; if not, any message may have been delivered before.</summary>
    internal bool IsComplete { get; }

    /// <summary>False in a repair of a store whose witness has slots that make no sense.</summary>
    internal bool AreSlotsReadable { get; }

    /// <summary>The number of the last commit that must be in the store: a power cut takes what was only written, and that is within what was promised.</summary>
    internal long ConfirmedCommit => IsSameBoot ? WrittenCommit : FlushedCommit;

    /// <summary>Called before each step of <see cref="BeginLife"/>: where a test lets the process end.</summary>
    internal Action? BeforeStep { get; set; }

    /// <summary>The slots that were taken when the witness was opened.</summary>
    internal IReadOnlyList<WitnessedDelivery> Deliveries { get; }

    /// <summary>The number of the life that is under way or, before <see cref="BeginLife"/>, of the last one.</summary>
    internal long Incarnation => _life.Incarnation;

    /// <summary>Of messages up to this number nobody knows whether they were delivered in an earlier life.</summary>
    internal long DoubtfulThrough => _life.DoubtfulThrough;

    /// <summary>Where the witness of a store lies.</summary>
    public static string PathOf(string storePath) => storePath + Suffix;

    /// <summary>Opens the witness of a store, which makes the caller the store's only owner, and creates it where there is none.</summary>
    /// <param name="storePath">The store's file or folder. The witness lies beside it.</param>
    /// <param name="storeExists">Whether the store is there already.</param>
    /// <param name="forRepair">Whether the caller is about to repair a store that is poisoned, or has lost what the witness has seen.</param>
    /// <param name="timeProvider">The clock; by default the system's.</param>
    /// <param name="repair">What to call to repair such a store, for messages to people: <c>LiteDBStore.RepairAsync</c>. Null if there is nothing.</param>
    /// <exception cref="StoreException"><see cref="StoreFault.InUse"/>: another has the store open; the message names it.
    /// <see cref="StoreFault.Unreadable"/>: the witness is damaged or of a newer format, the store is poisoned, or it is gone; the message names the remedy.
    /// <see cref="StoreFault.Refused"/>: the disk is full. In every case nothing was touched.</exception>
    public static Witness Open(string storePath, bool storeExists, bool forRepair = false, TimeProvider? timeProvider = null, string? repair = null)
    {
        timeProvider ??= TimeProvider.System;
        return Open(storePath, storeExists, forRepair, timeProvider, BootId.Read(timeProvider), repair);
    }

    internal static Witness Open(string storePath, bool storeExists, bool forRepair, TimeProvider time, Guid boot, string? repair = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(storePath);
        string path = PathOf(storePath);
        try
        {
            for (int i = 0; i < MaxReplacements; i++)
            {
                if (TryOpen(path, storeExists, forRepair, time, boot, repair) is { } witness)
                    return witness;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw IsDiskFull(error)
                ? new StoreException(StoreFault.Refused, $"There is no room for '{path}', the witness of the store: {error.Message} Make room on the disk and open the store again. The store itself was not touched.", path, error)
                : new StoreException(StoreFault.Unreadable, $"'{path}', the witness of the store, cannot be opened: {error.Message} Whoever opens a store must be able to write the file and the folder it lies in. The store itself was not touched.", path, error);
        }
        throw new StoreException(StoreFault.Unreadable, $"'{path}', the witness of the store, is replaced again and again while it is being opened. Find out by whom; nothing but QueueKit may touch it.", path);
    }

    /// <summary>Remembers that the store's files are not to be believed any more: the next <see cref="Open(string, bool, bool, TimeProvider, string)"/> refuses until they are repaired.</summary>
    public void SetPoison(string reason)
    {
        ArgumentException.ThrowIfNullOrEmpty(reason);
        if (Volatile.Read(ref _isClosed) != 0 || _life.Poison is not null)
            return;
        _life.Poison = reason;
        try
        {
            _life.Flush();
        }
        catch (IOException)
        {
            // The disk that fails the store fails this too. In memory the poison stays as long as the machine runs, and there is nothing better.
        }
    }

    /// <summary>The store has been repaired: copied into new files, and these and their folder are synced.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Failed"/>: that could not be written down, and the store is poisoned still.</exception>
    public void ClearPoison()
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _isClosed) != 0, this);
        string? reason = _life.Poison;
        if (reason is null)
            return;
        _life.Poison = null;
        try
        {
            _life.Flush();
        }
        catch (IOException error)
        {
            _life.Poison = reason;
            throw new StoreException(StoreFault.Failed, $"'{Path}' cannot be written: {error.Message} The store remains marked as not to be believed.", Path, error);
        }
    }

    /// <summary>In a repair: nobody knows any more which messages were delivered before. The next opening takes each for one that maybe was.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Failed"/>: that could not be written down.</exception>
    internal void DoubtDeliveries()
    {
        // First: as long as it says so, no slot is believed.
        _life.Untracked = Math.Max(1, _life.Untracked);
        if (!AreSlotsReadable)
            Slots.Open(new Dictionary<int, WitnessedDelivery>(), static step => step());
        try
        {
            _life.Flush();
        }
        catch (IOException error)
        {
            throw new StoreException(StoreFault.Failed, $"'{Path}' cannot be written: {error.Message} Make room on the disk, and repair the store again.", Path, error);
        }
    }

    /// <summary>Lets the store go as it is, as if the process had ended here.</summary>
    public void Abandon()
    {
        _lastPoison = Poison;
        if (Interlocked.Exchange(ref _isClosed, 1) != 0)
            return;
        // Not while it grows.
        lock (_growth)
        {
            Slots.Detach();
            _life.Detach();
            _file.Dispose();
        }
    }

    /// <summary>Lets the store go; in good order, if the broker has come to its end in good order.</summary>
    public void Dispose()
    {
        if (_isAtRest && Volatile.Read(ref _isClosed) == 0 && Poison is null)
        {
            try
            {
                Slots.ComeToRest();
                _life.Flush();
                _life.IsClean = true;
                _life.Flush();
            }
            catch (IOException)
            {
                // What is not certainly on the disk is no good order: the next opening makes as little of it as after a kill.
                _life.IsClean = false;
            }
        }
        Abandon();
    }

    internal static string StorePathOf(string witnessPath) => witnessPath[..^Suffix.Length];

    /// <summary>Compares what the store has with what it had confirmed.</summary>
    /// <param name="lastCommit">The number of the last commit in the store.</param>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: confirmed commits are missing.</exception>
    internal void Verify(long lastCommit)
    {
        long confirmed = ConfirmedCommit;
        if (lastCommit < confirmed)
            throw Missing(Path, confirmed - lastCommit, $"its last commit is number {lastCommit}, and number {confirmed} was confirmed", _repair);
    }

    /// <summary>Begins a life of the store, when the last one is dealt with: everything that is written about it is not needed any more. Can be cut off anywhere and done again.</summary>
    /// <param name="lastCommit">The number of the last commit in the store.</param>
    /// <param name="doubtfulThrough">The last number of those messages that may have been delivered in an earlier life.</param>
    /// <param name="kept">Slots of the last life that are still needed: they become <see cref="SlotState.Seen"/>.</param>
    /// <exception cref="StoreException"><see cref="StoreFault.Refused"/>: it could not be brought onto the disk.</exception>
    internal void BeginLife(long lastCommit, long doubtfulThrough, IReadOnlyDictionary<int, WitnessedDelivery> kept)
    {
        // In this order: as long as the run of the machine is the old one the slots are not believed, and the incarnation changes when all else has.
        Step(() => _life.DoubtfulThrough = doubtfulThrough);
        Slots.Open(kept, Step);
        _flushed = Math.Min(_flushed, lastCommit);
        _written = lastCommit;
        Step(() => _life.Flushed = _flushed);
        Step(() => _life.Written = _written);
        Step(() => _life.Boot = _boot);
        Step(() => _life.Untracked = 0);
        Step(() => _life.IsClean = false);
        Step(() => _life.Incarnation = Math.Max(_life.Incarnation + 1, _time.GetUtcNow().UtcTicks));
        try
        {
            // A power cut must not find the old life's good order on the disk.
            _life.Flush();
        }
        catch (IOException error)
        {
            throw new StoreException(StoreFault.Refused, $"'{Path}', the witness of the store, cannot be written: {error.Message} Open the store again when the disk is well.", Path, error);
        }
        IsAccepted = true;
    }

    /// <summary>The store has confirmed a commit.</summary>
    internal void Committed(long number, FlushLevel level)
    {
        Volatile.Write(ref _written, number);
        _life.Written = number;
        if (level != FlushLevel.Flushed)
            return;
        Volatile.Write(ref _flushed, number);
        _life.Flushed = number;
    }

    /// <summary>A delivery goes out that found no slot, or comes back.</summary>
    internal void CountUntracked(int by) => _life.AddUntracked(by);

    /// <summary>Nothing is out any more, and everything is committed.</summary>
    internal void ComeToRest() => _isAtRest = true;

    /// <summary>Adds a block of slots. Writes to the disk, so on no lock.</summary>
    /// <returns>False if the witness is closed.</returns>
    /// <exception cref="IOException">The disk did not take it; there are as many slots as before.</exception>
    internal bool Grow()
    {
        lock (_growth)
        {
            if (Volatile.Read(ref _isClosed) != 0)
                return false;
            // On the disk before it is on record: after a power cut a file that is shorter than it says would be damaged.
            long offset = WitnessLife.PageBytes + (long)Slots.Blocks * WitnessSlots.BlockBytes;
            _file.Write(new byte[WitnessSlots.BlockBytes], offset);
            _file.Sync();
            MemoryMappedViewAccessor view = _file.Map(offset, WitnessSlots.BlockBytes);
            _life.Blocks++;
            Slots.AddBlock(view, isFree: true);
            return true;
        }
    }

    private void Step(Action write)
    {
        BeforeStep?.Invoke();
        write();
    }

    private static Witness? TryOpen(string path, bool storeExists, bool forRepair, TimeProvider time, Guid boot, string? repair)
    {
        WitnessFile file = WitnessFile.Open(path);
        try
        {
            byte[] content = file.ReadAll();
            bool isNew = IsUnfinished(content);
            WitnessOwner? previous = null;
            List<WitnessedDelivery>? deliveries = [];
            if (!isNew)
            {
                previous = Check(path, content);
                if (!forRepair)
                    RefuseUnfit(path, content, storeExists, boot, repair);
                // After a power cut the slots are what happened to be written: nothing to go by.
                if ((IsClean(content) || IsSame(content, boot)) && !WitnessSlots.TryRead(content.AsSpan(WitnessLife.PageBytes), deliveries))
                    deliveries = forRepair ? null : throw Damaged(path, "one of its slots says what no slot can say");
            }
            byte[] owner = WitnessOwner.Me(time).Encode();
            if (isNew)
                Create(file, storeExists, owner);
            else
                Take(file, content, owner);
            if (file.IsWhatThePathLeadsTo(owner))
                return new Witness(file, deliveries, previous, isNew && storeExists, repair, time, boot);
            file.Dispose();
            return null;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    // Its creation was cut off, or it is empty because it was created a moment ago: the owner's sector is written last.
    private static bool IsUnfinished(ReadOnlySpan<byte> content) =>
        !content[..Math.Min(content.Length, WitnessLife.Offset)].ContainsAnyExcept((byte)0)
        && (content.Length <= 2 * WitnessLife.Offset || !content[(2 * WitnessLife.Offset)..].ContainsAnyExcept((byte)0));

    private static void Create(WitnessFile file, bool storeExists, byte[] owner)
    {
        byte[] content = new byte[WitnessLife.PageBytes + WitnessSlots.BlockBytes];
        file.CutAt(0);
        file.Write(content, 0);
        WitnessLife.Blank(storeExists).CopyTo(content, WitnessLife.Offset);
        file.Write(content.AsSpan(0, 2 * WitnessLife.Offset), 0);
        file.Sync();
        file.Write(owner, 0);
        file.Sync();
        file.SyncFolder();
    }

    // Everything is written once more as it is, in case a copy has left holes: see WitnessFile.Map.
    private static void Take(WitnessFile file, byte[] content, byte[] owner)
    {
        int blocks = UsedBlocks(content);
        int length = WitnessLife.PageBytes + blocks * WitnessSlots.BlockBytes;
        if (length < content.Length)
        {
            // The number of blocks goes first: a file that is shorter than it says is damaged.
            BinaryPrimitives.WriteInt64LittleEndian(content.AsSpan(576), blocks);
            file.Write(content.AsSpan(WitnessLife.Offset, 512), WitnessLife.Offset);
            file.Sync();
            file.CutAt(length);
            content = content[..length];
        }
        file.Write(content.AsSpan(WitnessLife.Offset), WitnessLife.Offset);
        file.Write(owner, 0);
        file.Sync();
    }

    // At least one, and as many as have a slot that is taken: a rush long ago must not be paid for at every opening.
    private static int UsedBlocks(ReadOnlySpan<byte> content)
    {
        int blocks = (int)BinaryPrimitives.ReadInt64LittleEndian(content[576..]);
        while (blocks > 1 && WitnessSlots.AreFree(content.Slice(WitnessLife.PageBytes + (blocks - 1) * WitnessSlots.BlockBytes, WitnessSlots.BlockBytes)))
            blocks--;
        return blocks;
    }

    private static WitnessOwner Check(string path, ReadOnlySpan<byte> content)
    {
        WitnessOwner? owner = WitnessOwner.Decode(content, out string? flaw, out bool isNewer);
        if (isNewer)
            throw new StoreException(StoreFault.Unreadable, $"'{path}', the witness of the store, is of a newer format: {flaw}. Open the store with a newer version. Nothing was touched.", path);
        if (owner is null)
            throw Damaged(path, flaw!);
        long blocks = content.Length < WitnessLife.PageBytes ? 1 : BinaryPrimitives.ReadInt64LittleEndian(content[576..]);
        long length = WitnessLife.PageBytes + blocks * WitnessSlots.BlockBytes;
        if (content.Length < length)
            throw Damaged(path, $"it is cut off: it has {content.Length} bytes instead of {length}");
        long clean = BinaryPrimitives.ReadInt64LittleEndian(content[536..]);
        long written = BinaryPrimitives.ReadInt64LittleEndian(content[544..]);
        long flushed = BinaryPrimitives.ReadInt64LittleEndian(content[552..]);
        if (blocks < 1 || clean is not (0 or 1) || flushed < 0 || flushed > written)
            throw Damaged(path, "its numbers contradict each other");
        return owner;
    }

    private static void RefuseUnfit(string path, ReadOnlySpan<byte> content, bool storeExists, Guid boot, string? repair)
    {
        int poison = BinaryPrimitives.ReadInt32LittleEndian(content[1024..]);
        if (poison != 0)
        {
            string reason = Encoding.UTF8.GetString(content.Slice(1028, Math.Clamp(poison, 0, 1020)));
            throw new StoreException(StoreFault.Unreadable,
                $"The store '{StorePathOf(path)}' is not to be believed since a write or flush failed, or damage was found that it does not survive: {reason} What is read back from its files may be what the disk never got, so repair it first{(repair is null ? "" : $" ({repair})")}: that copies it into new files, for which it needs its size once more. Nothing was touched.", StorePathOf(path))
            {
                IsRepairable = repair is not null,
            };
        }
        if (storeExists)
            return;
        long confirmed = BinaryPrimitives.ReadInt64LittleEndian(content[(IsSame(content, boot) ? 544 : 552)..]);
        if (confirmed > 0)
            throw Missing(path, confirmed, "it is gone altogether", repair: null);
    }

    private static bool IsClean(ReadOnlySpan<byte> content) => content[536] != 0;

    private static bool IsSame(ReadOnlySpan<byte> content, Guid boot) => BootId.AreSame(new Guid(content.Slice(512, 16)), boot);

    private static StoreException Missing(string path, long count, string what, string? repair) => new(StoreFault.Unreadable,
        $"{count} confirmed commits are missing from the store '{StorePathOf(path)}': {what}. It was damaged, deleted, or exchanged for an older copy. Restore the newest backup; to go on with what is there, and give up the rest, {(repair is null ? $"delete '{path}'" : $"call {repair}, which says what is missing")}. Nothing was touched.", StorePathOf(path))
    {
        IsRepairable = repair is not null,
    };

    private static StoreException Damaged(string path, string flaw) => new(StoreFault.Unreadable,
        $"'{path}', the witness of the store, is damaged: {flaw}. The store itself may be well: if you trust it, delete the damaged file and open the store again; every message then counts as maybe delivered before, and nobody can tell whether commits are missing. Nothing was touched.", path);

    private static bool IsDiskFull(Exception error)
    {
        const int NoSpace = 28;
        const int NoQuota = 122;
        const int DiskFullOnWindows = unchecked((int)0x80070070);
        return error is IOException && error.HResult is NoSpace or NoQuota or DiskFullOnWindows;
    }
}

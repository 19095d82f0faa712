using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;

namespace QueueKit.Stores;

/// <summary>Who has a store open: the first sector of its <see cref="Witness"/>, so that whoever is turned away can be told by whom.</summary>
internal sealed record WitnessOwner(int ProcessId, DateTimeOffset ProcessStartedAt, string ProcessName, string Machine, DateTimeOffset Since, Guid Opening)
{
    /// <summary>One sector, written with one write: a power cut leaves the old one or the new one.</summary>
    public const int Length = 512;

    /// <summary>The newest version that this code reads, and the one that it writes.</summary>
    public const int Version = 1;

    private const int MaxNameBytes = 120;

    // Little-endian:
    //
    //  0           8             12        16        20                 28              36           52              173            294      512
    //  | magic     | version u32 | CRC u32 | pid i32 | started at ticks | since, ticks  | opening    | process name  | machine name   | zeros |
    //  | "QKWITNES"|             |         |         | i64, UTC         | i64, UTC      | 16 bytes   | length, UTF-8 | length, UTF-8  |       |
    //
    //  The CRC is CRC-32C over everything behind it. Version and magic are judged before it: another version may have another layout.

    private static ReadOnlySpan<byte> Magic => "QKWITNES"u8;

    /// <summary>This process, now.</summary>
    public static WitnessOwner Me(TimeProvider time)
    {
        using var process = Process.GetCurrentProcess();
        return new WitnessOwner(Environment.ProcessId, process.StartTime.ToUniversalTime(), process.ProcessName, Environment.MachineName, time.GetUtcNow(), Guid.NewGuid());
    }

    public byte[] Encode()
    {
        byte[] sector = new byte[Length];
        Magic.CopyTo(sector);
        BinaryPrimitives.WriteInt32LittleEndian(sector.AsSpan(8), Version);
        BinaryPrimitives.WriteInt32LittleEndian(sector.AsSpan(16), ProcessId);
        BinaryPrimitives.WriteInt64LittleEndian(sector.AsSpan(20), ProcessStartedAt.UtcTicks);
        BinaryPrimitives.WriteInt64LittleEndian(sector.AsSpan(28), Since.UtcTicks);
        Opening.TryWriteBytes(sector.AsSpan(36));
        WriteName(sector.AsSpan(52), ProcessName);
        WriteName(sector.AsSpan(52 + 1 + MaxNameBytes), Machine);
        BinaryPrimitives.WriteUInt32LittleEndian(sector.AsSpan(12), RecordChecksum.Add(0, sector.AsSpan(16)));
        return sector;
    }

    /// <summary>Reads a sector; if it is none, null and why.</summary>
    public static WitnessOwner? Decode(ReadOnlySpan<byte> sector, out string? flaw, out bool isNewer)
    {
        isNewer = false;
        if (sector.Length < Length)
        {
            flaw = $"it has only {sector.Length} bytes";
            return null;
        }
        sector = sector[..Length];
        if (!sector.StartsWith(Magic))
        {
            flaw = "it does not begin as a witness does";
            return null;
        }
        int version = BinaryPrimitives.ReadInt32LittleEndian(sector[8..]);
        if (version != Version)
        {
            isNewer = version > Version;
            flaw = $"it has format {version}, and this version of QueueKit reads format {Version}";
            return null;
        }
        if (BinaryPrimitives.ReadUInt32LittleEndian(sector[12..]) != RecordChecksum.Add(0, sector[16..]))
        {
            flaw = "the checksum over its first sector is wrong";
            return null;
        }
        flaw = null;
        return new WitnessOwner(
            BinaryPrimitives.ReadInt32LittleEndian(sector[16..]),
            ReadTime(sector[20..]),
            ReadName(sector[52..]),
            ReadName(sector[(52 + 1 + MaxNameBytes)..]),
            ReadTime(sector[28..]),
            new Guid(sector.Slice(36, 16)));
    }

    /// <summary>For the one who is turned away.</summary>
    public override string ToString()
    {
        string machine = Machine == Environment.MachineName ? "" : $" on {Machine}";
        return ProcessId == Environment.ProcessId && machine.Length == 0
            ? $"another broker of this process (process {ProcessId}, {ProcessName}), since {Since:u}"
            : $"process {ProcessId} ({ProcessName}, started {ProcessStartedAt:u}){machine}, since {Since:u}";
    }

    private static void WriteName(Span<byte> destination, string name)
    {
        Encoding.UTF8.GetEncoder().Convert(name, destination.Slice(1, MaxNameBytes), flush: true, out _, out int bytes, out _);
        destination[0] = (byte)bytes;
    }

    private static string ReadName(ReadOnlySpan<byte> source) => Encoding.UTF8.GetString(source.Slice(1, Math.Min(source[0], (byte)MaxNameBytes)));

    private static DateTimeOffset ReadTime(ReadOnlySpan<byte> source) =>
        new(Math.Clamp(BinaryPrimitives.ReadInt64LittleEndian(source), 0, DateTime.MaxValue.Ticks), TimeSpan.Zero);
}

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>The bytes of a file on a <see cref="SimulatedDisk"/>: as they are read, as they are on the disk, and everything in between.</summary>
internal sealed class SimulatedFile
{
    private const int Sector = SimulatedDisk.SectorSize;

    private readonly List<long> _lengthsSinceSync = [];
    // By sector, what was written since the last flush: any of them may be what the disk holds.
    private readonly Dictionary<long, List<byte[]>> _versionsSinceSync = [];
    private byte[] _bytes;
    private byte[] _onDisk;

    public SimulatedFile(byte[]? bytes = null)
    {
        Length = bytes?.Length ?? 0;
        _bytes = new byte[(Length + Sector - 1) / Sector * Sector];
        bytes?.CopyTo(_bytes, 0);
        _onDisk = _bytes.AsSpan().ToArray();
        _lengthsSinceSync.Add(Length);
    }

    public long Length { get; private set; }

    public byte[] ToArray() => _bytes.AsSpan(0, (int)Length).ToArray();

    public int Read(long offset, Span<byte> into)
    {
        if (offset >= Length)
            return 0;
        int count = (int)Math.Min(into.Length, Length - offset);
        _bytes.AsSpan((int)offset, count).CopyTo(into);
        return count;
    }

    public void Write(long offset, ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return;
        if (offset + bytes.Length > Length)
            Resize(offset + bytes.Length);
        bytes.CopyTo(_bytes.AsSpan((int)offset));
        for (long sector = offset / Sector; sector <= (offset + bytes.Length - 1) / Sector; sector++)
        {
            if (!_versionsSinceSync.TryGetValue(sector, out List<byte[]>? versions))
                _versionsSinceSync[sector] = versions = [];
            versions.Add(_bytes.AsSpan((int)(sector * Sector), Sector).ToArray());
        }
    }

    public void SetLength(long length) => Resize(length);

    public void Sync()
    {
        if (_lengthsSinceSync.Count > 1)
            Array.Resize(ref _onDisk, _bytes.Length);
        foreach (long sector in _versionsSinceSync.Keys)
            _bytes.AsSpan((int)(sector * Sector), Sector).CopyTo(_onDisk.AsSpan((int)(sector * Sector)));
        _onDisk.AsSpan((int)Length).Clear();
        _lengthsSinceSync.Clear();
        _lengthsSinceSync.Add(Length);
        _versionsSinceSync.Clear();
    }

    public byte[] AfterPowerCut(Random random, double survival)
    {
        long length = _lengthsSinceSync[random.Next(_lengthsSinceSync.Count)];
        byte[] bytes = new byte[(length + Sector - 1) / Sector * Sector];
        _onDisk.AsSpan(0, (int)Math.Min(_onDisk.Length, length)).CopyTo(bytes);
        foreach ((long sector, List<byte[]> versions) in _versionsSinceSync)
        {
            if ((sector + 1) * Sector <= bytes.Length && random.NextDouble() < survival)
                versions[random.Next(versions.Count)].CopyTo(bytes, sector * Sector);
        }
        return bytes[..(int)length];
    }

    private void Resize(long length)
    {
        if (length > _bytes.Length)
            Array.Resize(ref _bytes, (int)Math.Max((length + Sector - 1) / Sector * Sector, _bytes.Length * 2L));
        if (length < Length)
            _bytes.AsSpan((int)length).Clear();
        Length = length;
        _lengthsSinceSync.Add(length);
    }
}

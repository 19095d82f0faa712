using QueueKit.LiteDB.Files;

namespace QueueKit.LiteDB;

/// <summary>The log to come, made of the one before, a piece at a time and beside the commits: its first page, and zeros for all that it may hold. To put it in the place of the present one takes a fraction of the time that cutting that one takes.</summary>
/// <remarks>A piece is begun under the store's lock, written and flushed without, and counts when it is through. Nothing depends on it: where it cannot be made, the old log is cut.</remarks>
internal sealed class NextLog(IStoreFileSystem files, StorePaths paths)
{
    // A commit beside it waits for the disk to write so much at most.
    private const int PieceBytes = 1024 * 1024;

    private readonly byte[] _zeros = new byte[PieceBytes];
    private IStoreFile? _file;
    private StoreState _state;
    private long _written;
    private long _wanted;
    private bool _isReady;

    /// <summary>Whether a piece of the log of a state is to be made.</summary>
    public bool TryBegin(in StoreState state)
    {
        if (_state == state)
            return !_isReady;
        Close();
        _state = state;
        return true;
    }

    /// <summary>Makes a piece.</summary>
    /// <param name="bytes">How large the log is to be in the end.</param>
    /// <exception cref="IOException">It failed: <see cref="Delete"/> it.</exception>
    public void Run(long bytes)
    {
        if (_file is null)
        {
            bool hasOld = files.Exists(paths.OldLog);
            if (hasOld)
                files.Replace(paths.OldLog, paths.NextLog);
            _file = hasOld ? files.Open(paths.NextLog) : files.Create(paths.NextLog);
            _wanted = Math.Max(bytes, _file.Length);
            _file.Write(0, PageFormat.LogHeader(_state.StoreId, _state.Generation));
            _written = PageFormat.Size;
        }
        int piece = (int)Math.Min(PieceBytes, Math.Max(_wanted - _written, PageFormat.Size));
        _file.Write(_written, _zeros.AsSpan(0, piece));
        _file.Sync();
        _written += piece;
        if (_written < _wanted)
            return;
        _file.Dispose();
        _file = null;
        _isReady = true;
    }

    /// <summary>Puts it in the place of a log that is worth nothing any more, safe against a power cut; false if there is none for that state.</summary>
    public bool TryTakeOver(in StoreState state, LogFile log)
    {
        if (!_isReady || _state.Generation != state.Generation)
            return false;
        _isReady = false;
        log.LetGo();
        // Not deleted: to free its space takes as long as to write it.
        DeleteIfThere(paths.OldLog);
        files.Rename(paths.Log, paths.OldLog);
        files.Rename(paths.NextLog, paths.Log);
        files.SyncDirectory(paths.Log);
        log.Begin(files.Open(paths.Log), state, _written);
        return true;
    }

    /// <summary>Deletes what was made and not needed, or is left of an earlier life.</summary>
    public void Delete()
    {
        Close();
        DeleteIfThere(paths.NextLog);
        DeleteIfThere(paths.OldLog);
    }

    /// <summary>Lets go of it.</summary>
    public void Close()
    {
        _file?.Dispose();
        _file = null;
        _isReady = false;
        _state = default;
    }

    private void DeleteIfThere(string path)
    {
        if (files.Exists(path))
            files.Delete(path);
    }
}

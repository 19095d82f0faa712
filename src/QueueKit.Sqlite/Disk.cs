using System.Runtime.InteropServices;
using System.Runtime.InteropServices.Marshalling;

namespace QueueKit.Sqlite;

/// <summary>What the store asks of the file system beside SQLite.</summary>
internal static unsafe class Disk
{
    private const int Interrupted = 4;

    public static long AvailableBytes(string path) => new DriveInfo(Path.GetDirectoryName(path)!).AvailableFreeSpace;

    /// <summary>Gives a file another name, in the place of whatever has it; when it returns, the name is on the disk.</summary>
    public static void Replace(string from, string to)
    {
        File.Move(from, to, overwrite: true);
        SyncFolder(Path.GetDirectoryName(to)!);
    }

    /// <summary>Brings the names in a folder onto the disk. Windows does that by itself.</summary>
    /// <remarks>Looked up in the running program instead of bound to a library by name, so that a preloaded shim, which is how a test makes it fail, is seen.</remarks>
    /// <exception cref="IOException">They did not get there.</exception>
    public static void SyncFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            return;
        nint program = NativeLibrary.GetMainProgramHandle();
        var open = (delegate* unmanaged<byte*, int, int>)NativeLibrary.GetExport(program, "open");
        var sync = (delegate* unmanaged<int, int>)NativeLibrary.GetExport(program, "fsync");
        var close = (delegate* unmanaged<int, int>)NativeLibrary.GetExport(program, "close");
        byte* utf8 = Utf8StringMarshaller.ConvertToUnmanaged(folder);
        try
        {
            int descriptor;
            do
                descriptor = open(utf8, 0);
            while (descriptor < 0 && Marshal.GetLastSystemError() == Interrupted);
            int error = descriptor < 0 || sync(descriptor) != 0 ? Marshal.GetLastSystemError() : 0;
            // Opened for reading only: there is nothing that closing it could lose.
            if (descriptor >= 0)
                _ = close(descriptor);
            if (error != 0)
                throw new IOException($"The folder '{folder}' cannot be synced: {Marshal.GetPInvokeErrorMessage(error)}.");
        }
        finally
        {
            Utf8StringMarshaller.Free(utf8);
        }
    }
}

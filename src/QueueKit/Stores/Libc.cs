using System.Runtime.InteropServices;
using System.Runtime.InteropServices.Marshalling;

namespace QueueKit.Stores;

/// <summary>The calls of Unix that the witness needs and .NET does not give: a lock that keeps a second writer out, and a sync that tells when it failed.</summary>
/// <remarks>
/// Looked up in the running program instead of bound to a library by name, so that a preloaded shim, which is how a test makes them fail, is seen.
/// Every result is an error number, 0 for success.
/// </remarks>
internal static unsafe class Libc
{
    public const int WouldBlockOnLinux = 11;
    public const int WouldBlockElsewhere = 35;
    public const int NotFound = 2;
    private const int Interrupted = 4;

    private const int ReadOnly = 0;
    private const int ReadWrite = 2;
    private const int LockExclusively = 2;
    private const int DoNotWait = 4;
    private const int Unlocked = 8;

    private static readonly nint s_program = NativeLibrary.GetMainProgramHandle();
    private static readonly delegate* unmanaged<byte*, int, int> s_open = (delegate* unmanaged<byte*, int, int>)NativeLibrary.GetExport(s_program, "open");
    private static readonly delegate* unmanaged<int, int> s_close = (delegate* unmanaged<int, int>)NativeLibrary.GetExport(s_program, "close");
    private static readonly delegate* unmanaged<int, int, int> s_flock = (delegate* unmanaged<int, int, int>)NativeLibrary.GetExport(s_program, "flock");
    private static readonly delegate* unmanaged<int, int> s_fsync = (delegate* unmanaged<int, int>)NativeLibrary.GetExport(s_program, "fsync");

    private static int CloseOnExec => OperatingSystem.IsMacOS() ? 0x1000000 : 0x80000;

    /// <summary>Opens a file that exists. .NET's own open would take a lock of its own on it.</summary>
    public static int Open(string path, bool forWriting, out int descriptor)
    {
        byte* utf8 = Utf8StringMarshaller.ConvertToUnmanaged(path);
        try
        {
            int error;
            do
            {
                descriptor = s_open(utf8, (forWriting ? ReadWrite : ReadOnly) | CloseOnExec);
                error = descriptor >= 0 ? 0 : Marshal.GetLastSystemError();
            }
            while (error == Interrupted);
            return error;
        }
        finally
        {
            Utf8StringMarshaller.Free(utf8);
        }
    }

    /// <summary>Takes the whole file, or says at once that another has it.</summary>
    public static int Lock(int descriptor)
    {
        int error;
        do
            error = s_flock(descriptor, LockExclusively | DoNotWait) == 0 ? 0 : Marshal.GetLastSystemError();
        while (error == Interrupted);
        return error;
    }

    /// <summary>Lets the file go, though a mapping still holds it open.</summary>
    public static void Unlock(int descriptor) => _ = s_flock(descriptor, Unlocked);

    /// <summary>Brings the file onto the disk. Not tried again when it fails: the kernel has forgotten then what it could not write.</summary>
    public static int Sync(int descriptor) => s_fsync(descriptor) == 0 ? 0 : Marshal.GetLastSystemError();

    /// <summary>Brings the entries of a folder onto the disk, among them that of a new file.</summary>
    public static int SyncFolder(string path)
    {
        int error = Open(path, forWriting: false, out int descriptor);
        if (error != 0)
            return error;
        error = Sync(descriptor);
        _ = s_close(descriptor);
        return error;
    }
}

using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace QueueKit.LiteDB.Files;

/// <summary>The few system calls that the BCL lacks or answers wrongly. A result of zero is success and nothing else is.</summary>
/// <remarks>
/// Flushes do not go through the BCL: on Linux <c>FileStream.Flush(true)</c> and <c>RandomAccess.FlushToDisk</c> return normally when the flush
/// fails (managed code tests for less than zero, the native shim returns one). All are bound through the main program's handle, which a preloaded
/// library can stand in front of: that is one way to try out a failing disk.
/// </remarks>
internal static class NativeCalls
{
    private const int FullFlush = 51; // F_FULLFSYNC: on macOS, fsync stops at the drive's cache.
    private const int LockExclusively = 2, DoNotWait = 4; // LOCK_EX, LOCK_NB

    private static readonly OneDescriptor? s_syncData = OperatingSystem.IsLinux() ? Bind<OneDescriptor>("fdatasync") : null;
    private static readonly OneDescriptor? s_sync = OperatingSystem.IsWindows() ? null : Bind<OneDescriptor>("fsync");
    private static readonly DescriptorAndNumber? s_control = OperatingSystem.IsMacOS() ? Bind<DescriptorAndNumber>("fcntl") : null;
    private static readonly DescriptorAndNumber? s_lock = OperatingSystem.IsWindows() ? null : Bind<DescriptorAndNumber>("flock");
    private static readonly PathAndNumber? s_open = OperatingSystem.IsWindows() ? null : Bind<PathAndNumber>("open");
    private static readonly OneDescriptor? s_close = OperatingSystem.IsWindows() ? null : Bind<OneDescriptor>("close");

    [UnmanagedFunctionPointer(CallingConvention.Cdecl, SetLastError = true)]
    private delegate int OneDescriptor(int descriptor);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl, SetLastError = true)]
    private delegate int DescriptorAndNumber(int descriptor, int number);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl, SetLastError = true)]
    private delegate int PathAndNumber(byte[] path, int number);

    /// <summary>Flushes a file's bytes to the device.</summary>
    /// <exception cref="IOException">It failed. The system may have dropped the bytes: trying again would say "done" and lie.</exception>
    public static void Sync(SafeFileHandle file, string path)
    {
        if (OperatingSystem.IsWindows())
        {
            if (!FlushFileBuffers(file))
                throw Failure("FlushFileBuffers", path);
            return;
        }
        int descriptor = (int)file.DangerousGetHandle();
        if (OperatingSystem.IsMacOS())
            Check(s_control!(descriptor, FullFlush), "fcntl(F_FULLFSYNC)", path);
        else if (s_syncData is not null)
            Check(s_syncData(descriptor), "fdatasync", path);
        else
            Check(s_sync!(descriptor), "fsync", path);
    }

    /// <summary>Flushes the names in a folder. Windows has no call for it and journals them itself.</summary>
    public static void SyncDirectory(string folder)
    {
        if (OperatingSystem.IsWindows())
            return;
        int descriptor = s_open!([.. Encoding.UTF8.GetBytes(folder), 0], 0);
        if (descriptor < 0)
            throw Failure("open", folder);
        try
        {
            Check(s_sync!(descriptor), "fsync", folder);
        }
        finally
        {
            // Opened for reading only: there is nothing that closing it could lose.
            _ = s_close!(descriptor);
        }
    }

    /// <summary>Locks an open file against every other holder of such a lock; false if there is one. Not on Windows.</summary>
    public static bool TryLock(SafeFileHandle file) => s_lock!((int)file.DangerousGetHandle(), LockExclusively | DoNotWait) == 0;

    private static void Check(int result, string call, string path)
    {
        if (result != 0)
            throw Failure(call, path);
    }

    private static IOException Failure(string call, string path)
    {
        int error = Marshal.GetLastPInvokeError();
        return new IOException($"{call} failed on '{path}': {Marshal.GetPInvokeErrorMessage(error)} (error {error}).");
    }

    private static T Bind<T>(string name) where T : Delegate =>
        Marshal.GetDelegateForFunctionPointer<T>(NativeLibrary.GetExport(NativeLibrary.GetMainProgramHandle(), name));

    [DllImport("kernel32.dll", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static extern bool FlushFileBuffers(SafeFileHandle file);
}

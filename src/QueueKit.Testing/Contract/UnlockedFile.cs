using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace QueueKit.Testing.Contract;

/// <summary>Files that their owner has locked, as the witness of an open store is, read all the same.</summary>
internal static partial class UnlockedFile
{
    private const int NotFound = 2;
    private const int Interrupted = 4;

    public static byte[] ReadAllBytes(string path)
    {
        using SafeFileHandle file = Open(path);
        byte[] bytes = new byte[RandomAccess.GetLength(file)];
        int done = 0;
        while (done < bytes.Length && RandomAccess.Read(file, bytes.AsSpan(done), done) is > 0 and var read)
            done += read;
        return bytes[..done];
    }

    // On Unix .NET takes a lock of its own with whatever it opens; the system does not ask for one.
    private static SafeFileHandle Open(string path)
    {
        if (OperatingSystem.IsWindows())
            return File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        while (true)
        {
            int descriptor = open(path, 0);
            if (descriptor >= 0)
                return new SafeFileHandle(descriptor, ownsHandle: true);
            int error = Marshal.GetLastPInvokeError();
            if (error == NotFound)
                throw new FileNotFoundException($"There is no '{path}'.", path);
            if (error != Interrupted)
                throw new IOException($"'{path}' cannot be opened: {Marshal.GetPInvokeErrorMessage(error)}.");
        }
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int open(string path, int flags);
}

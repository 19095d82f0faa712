using System.Diagnostics;
using System.Globalization;

namespace QueueKit.Throughput;

/// <summary>What this process has of the machine at one moment: memory that is its own, managed and native, threads and handles.</summary>
internal readonly record struct ProcessState(double MemoryBytes, int Threads, int Handles)
{
    private const string Status = "/proc/self/status";
    private const string Descriptors = "/proc/self/fd";

    /// <summary>Looks, after the collector has given back what it can.</summary>
    public static ProcessState Look()
    {
        for (int i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }
        using Process self = Process.GetCurrentProcess();
        return new ProcessState(OwnMemory() ?? self.PrivateMemorySize64, self.Threads.Count, Directory.Exists(Descriptors) ? Directory.GetFiles(Descriptors).Length : self.HandleCount);
    }

    /// <summary>The memory at this moment, whatever of it is garbage.</summary>
    public static double MemoryNow()
    {
        using Process self = Process.GetCurrentProcess();
        return OwnMemory() ?? self.PrivateMemorySize64;
    }

    // What is resident and no file's: pages of mapped files are the system's to take back.
    private static double? OwnMemory()
    {
        if (!OperatingSystem.IsLinux() || !File.Exists(Status))
            return null;
        string line = File.ReadLines(Status).First(static line => line.StartsWith("RssAnon:", StringComparison.Ordinal));
        return 1024 * double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture);
    }
}

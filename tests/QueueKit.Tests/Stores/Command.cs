using System.Diagnostics;

namespace QueueKit.Tests.Stores;

/// <summary>Commands of the system, for tests that need another process.</summary>
internal static class Command
{
    /// <summary>Starts one, or has the test ignored where there is none of that name.</summary>
    public static async Task<Process> Start(string command, string arguments)
    {
        try
        {
            return Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            await TestContext.Out.WriteLineAsync($"{command}: {error.Message}");
            Assert.Ignore($"There is no '{command}' here.");
            throw;
        }
    }
}

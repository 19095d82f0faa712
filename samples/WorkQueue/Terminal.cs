using Spectre.Console;

namespace WorkQueue;

/// <summary>Writes lines with markup: in colour on a terminal, bare and unwrapped anywhere else.</summary>
internal static class Terminal
{
    public static bool IsLive { get; } = !Console.IsOutputRedirected && AnsiConsole.Profile.Capabilities is { Ansi: true, Interactive: true };

    public static void WriteLine(string markup)
    {
        if (IsLive)
            AnsiConsole.MarkupLine(markup);
        else
            Console.WriteLine(Markup.Remove(markup));
    }
}

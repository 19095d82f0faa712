using System.Text.Json;
using Spectre.Console;

namespace QueueKit.Faults;

/// <summary>How a level ended.</summary>
internal sealed record FaultReport
{
    public required string Level { get; init; }
    public required string Store { get; init; }
    public required int Runs { get; init; }
    public required int Seed { get; init; }
    public required double Seconds { get; init; }

    /// <summary>How many faults were injected.</summary>
    public required int Faults { get; init; }

    /// <summary>Confirmed messages that never came.</summary>
    public required int Lost { get; init; }

    /// <summary>Messages that came although their ack was confirmed.</summary>
    public required int Resurrected { get; init; }

    /// <summary>Messages that came again without being marked, or that had not been in flight.</summary>
    public required int Duplicates { get; init; }

    /// <summary>Every promise that was broken, in words.</summary>
    public required IReadOnlyList<string> Violations { get; init; }

    /// <summary>What else is worth knowing.</summary>
    public required IReadOnlyList<(string Name, string Value)> Figures { get; init; }

    public void Write(string? json)
    {
        var table = new Table().RoundedBorder().BorderColor(Color.Grey37);
        foreach (string column in (string[])["level", "store", "runs", "faults", "lost", "resurrected", "duplicates", "violations", "seconds", "seed"])
            table.AddColumn(new TableColumn(column).RightAligned());
        table.AddRow(Level, Store, $"{Runs:N0}", $"{Faults:N0}", $"{Lost:N0}", $"{Resurrected:N0}", $"{Duplicates:N0}", Violations.Count == 0 ? "[green]0[/]" : $"[red]{Violations.Count:N0}[/]", $"{Seconds:N0}", $"{Seed}");
        AnsiConsole.Write(table);
        foreach ((string name, string value) in Figures)
            AnsiConsole.MarkupLineInterpolated($"[grey]{name}:[/] {value}");
        if (Violations.Count == 0)
            AnsiConsole.MarkupLineInterpolated($"With {Faults:N0} clean faults the chance of a loss per fault is below {3.0 / Faults:0.#####} (3/N, 95 %).");
        foreach (string violation in Violations.Take(20))
            AnsiConsole.MarkupLineInterpolated($"[red]{violation}[/]");
        if (json is not null)
        {
            object[] rows = [new { level = Level, store = Store, runs = Runs, faults = Faults, lost = Lost, resurrected = Resurrected, duplicates = Duplicates, violations = Violations.Count, seconds = Seconds, seed = Seed }];
            File.WriteAllText(json, JsonSerializer.Serialize(rows));
        }
    }
}

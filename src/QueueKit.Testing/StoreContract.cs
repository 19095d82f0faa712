using System.Diagnostics.CodeAnalysis;
using QueueKit.Testing.Contract;

namespace QueueKit.Testing;

/// <summary>What every store has to do, as cases for any test framework or none. Whoever writes a store derives <see cref="StoreUnderTest"/> or <see cref="StoreInFolder"/> and runs <see cref="CasesFor"/>.</summary>
/// <example><code>
/// foreach (StoreContractCase one in StoreContract.CasesFor(StoreAbilities.Durable))
/// {
///     await using var store = new MyStoreInFolder();
///     await one.RunAsync(store);      // throws StoreContractException: promise, expected, found
/// }
/// </code></example>
[Experimental("QUEUEKIT001")]
public static class StoreContract
{
    /// <summary>All cases, whatever they need.</summary>
    public static IReadOnlyList<StoreContractCase> Cases { get; } =
    [
        .. RecordCases.All, .. RangeCases.All, .. PageCases.All, .. HistoryCases.All,
        .. OutcomeCases.All, .. OpeningCases.All, .. CrashCases.All, .. DamageCases.All, .. BackupCases.All,
    ];

    /// <summary>The cases for a store that can do so much.</summary>
    public static IEnumerable<StoreContractCase> CasesFor(StoreAbilities abilities) => Cases.Where(one => (one.Needs & ~abilities) == StoreAbilities.None);

    /// <summary>The case of a name.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static StoreContractCase Case(string name) =>
        Cases.FirstOrDefault(one => one.Name == name) ?? throw new ArgumentException($"There is no case '{name}'. StoreContract.Cases has them all.", nameof(name));
}

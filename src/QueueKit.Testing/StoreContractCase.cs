using System.Diagnostics.CodeAnalysis;
using QueueKit.Testing.Contract;

namespace QueueKit.Testing;

/// <summary>One case of <see cref="StoreContract"/>.</summary>
[Experimental("QUEUEKIT001")]
public sealed class StoreContractCase
{
    private readonly Func<ContractRun, Task> _run;

    internal StoreContractCase(string name, string promise, StoreAbilities needs, Func<ContractRun, Task> run)
    {
        Name = name;
        Promise = promise;
        Needs = needs;
        _run = run;
    }

    /// <summary>What the case is about, as a sentence in one word; no two cases have the same.</summary>
    public string Name { get; }

    /// <summary>What every store promises, and this case puts to the test.</summary>
    public string Promise { get; }

    /// <summary>What a store must be able to do for the case to make sense.</summary>
    public StoreAbilities Needs { get; }

    /// <summary>Runs the case, and at its end looks whether the store holds exactly what was committed, now and after it was closed and opened again.</summary>
    /// <param name="store">A place that no other case has used; the caller disposes it.</param>
    /// <param name="ct">Gives up between two steps.</param>
    /// <exception cref="ArgumentException">The store cannot do what the case needs.</exception>
    /// <exception cref="StoreContractException">The store does not keep the promise.</exception>
    public async ValueTask RunAsync(StoreUnderTest store, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        if ((Needs & ~store.Abilities) is not StoreAbilities.None and var missing)
            throw new ArgumentException($"The case {Name} needs a store with {missing}. Run the cases of StoreContract.CasesFor(abilities), or give the store that ability.", nameof(store));
        ContractRun run = await ContractRun.BeginAsync(this, store, ct).ConfigureAwait(false);
        await using (run.ConfigureAwait(false))
        {
            await _run(run).ConfigureAwait(false);
            await run.EndAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The <see cref="Name"/>.</summary>
    public override string ToString() => Name;
}

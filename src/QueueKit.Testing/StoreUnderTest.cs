using System.Diagnostics.CodeAnalysis;
using QueueKit.Stores;

namespace QueueKit.Testing;

/// <summary>A place for one store, made anew for each case of <see cref="StoreContract"/>, and what can be done to the store there.</summary>
[Experimental("QUEUEKIT001")]
public abstract class StoreUnderTest : IAsyncDisposable
{
    /// <summary>What the store can do beyond the common part. Always the same.</summary>
    public abstract StoreAbilities Abilities { get; }

    /// <summary>Where the random cases begin: another seed, another history. What goes wrong names it.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>A provider of the store at this place. All that are created here are of the same store, and nobody has opened it yet.</summary>
    public abstract IMessageStoreProvider CreateProvider();

    /// <summary>Makes the next commit of the open store fail so that nobody can know its outcome. Needed for <see cref="StoreAbilities.FailingCommits"/>.</summary>
    public virtual void FailNextCommit() => throw Missing(nameof(FailNextCommit));

    /// <summary>The power is cut: the open store is gone, and of what was not flushed any part may be. Needed for <see cref="StoreAbilities.PowerCuts"/>.</summary>
    public virtual void CutPower() => throw Missing(nameof(CutPower));

    /// <summary>Removes what the store leaves behind.</summary>
    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return default;
    }

    private protected static NotSupportedException Missing(string method) =>
        new($"The store under test claims an ability and does not override {method}, which the ability needs.");
}

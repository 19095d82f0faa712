using QueueKit.Stores;

namespace QueueKit.Testing.Contract;

/// <summary>One case under way: a store that is open, a model of what it has to hold, and the words for what it does not.</summary>
internal sealed class ContractRun : IAsyncDisposable
{
    public const int MiB = 1024 * 1024;

    private readonly StoreContractCase _case;
    private readonly StoreBatch _batch = new();
    private readonly StoreModel _model = new();

    private ContractRun(StoreContractCase @case, StoreUnderTest place, IMessageStoreProvider provider, CancellationToken ct)
    {
        _case = @case;
        Place = place;
        Provider = provider;
        Token = ct;
    }

    public StoreUnderTest Place { get; }

    public StoreInFolder InFolder => (StoreInFolder)Place;

    public IMessageStoreProvider Provider { get; }

    public IMessageStore Store { get; set; } = null!;

    public StorePage Page { get; } = new();

    public StoreModel Model => _model;

    public CancellationToken Token { get; }

    /// <summary>Whether the model does not say any more what the store has to hold.</summary>
    public bool IsOutcomeUnknown { get; set; }

    public static async Task<ContractRun> BeginAsync(StoreContractCase @case, StoreUnderTest place, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        IMessageStoreProvider provider = place.CreateProvider();
        return new ContractRun(@case, place, provider, ct) { Store = await provider.OpenAsync(ct).ConfigureAwait(false) };
    }

    /// <summary>The full check that every case ends in.</summary>
    public async Task EndAsync()
    {
        if (IsOutcomeUnknown)
            return;
        ExpectTheModel("at the end");
        await ReopenAsync().ConfigureAwait(false);
        ExpectTheModel("at the end, opened again");
    }

    public ValueTask DisposeAsync() => Store.DisposeAsync();

    // What is done to the store

    public async Task ReopenAsync()
    {
        Token.ThrowIfCancellationRequested();
        await Store.DisposeAsync().ConfigureAwait(false);
        Store = await Provider.OpenAsync(Token).ConfigureAwait(false);
    }

    public void Commit(Action<StoreBatch> fill, FlushLevel level = FlushLevel.Flushed)
    {
        CommitUnseen(fill, level);
        _model.Apply(_batch);
    }

    /// <summary>Commits what the model is not told of.</summary>
    public void CommitUnseen(Action<StoreBatch> fill, FlushLevel level = FlushLevel.Flushed)
    {
        Token.ThrowIfCancellationRequested();
        _batch.Clear();
        fill(_batch);
        Store.Commit(_batch, level);
    }

    public void Clear() => Commit(static batch => batch.DeleteRange(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message)), FlushLevel.Written);

    public StoreRecord[] ReadAll() => ReadAll(Store);

    public StoreRecord[] ReadAll(IMessageStore store)
    {
        store.Read(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, Page);
        return [.. Page.Records];
    }

    public long[] ReadSequences() => [.. ReadAll().Select(static record => record.Key.Sequence)];

    public long[] PageSequences() => [.. Page.Records.Select(static record => record.Key.Sequence)];

    /// <summary>The only record there is.</summary>
    public StoreRecord ReadOne()
    {
        StoreRecord[] all = ReadAll();
        Equal(1, all.Length, "the number of records");
        return all[0];
    }

    /// <summary>What a commit or a reading ends with; null if it goes well.</summary>
    public static StoreException? Refusal(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (StoreException error)
        {
            return error;
        }
    }

    public static async Task<StoreException?> RefusalAsync(Func<ValueTask<IMessageStore>> open)
    {
        try
        {
            await (await open().ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
            return null;
        }
        catch (StoreException error)
        {
            return error;
        }
    }

    // What is expected of it

    public void True(bool isSo, string expected, string found)
    {
        if (!isSo)
            throw Violation(expected, found);
    }

    public void Equal<T>(T expected, T found, string what) where T : notnull
    {
        bool same = expected is byte[] bytes ? bytes.AsSpan().SequenceEqual((byte[])(object)found) : EqualityComparer<T>.Default.Equals(expected, found);
        True(same, $"{what}: {Expect.Describe(expected)}", Expect.Describe(found));
    }

    public void Equal(long[] expected, long[] found, string what) =>
        True(expected.AsSpan().SequenceEqual(found), $"{what}: {Expect.Describe(expected)}", Expect.Describe(found));

    public void Equal(ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> found, string what) => Equal(expected.ToArray(), found.ToArray(), what);

    public void Fault(StoreFault expected, StoreException? found, string when) =>
        True(found?.Fault == expected, $"{when}: a StoreException with {expected}", found is null ? "no exception" : $"{found.Fault}: {found.Message}");

    public void ExpectTheModel(string when) => ExpectHolds(Store, _model, when);

    public void ExpectHolds(IMessageStore store, StoreModel model, string when)
    {
        string[] expected = model.Describe(), found = Describe(store);
        True(expected.AsSpan().SequenceEqual(found), $"{when}, what was committed: {expected.Length} records", Expect.FirstDifference(expected, found));
    }

    public string[] Describe(IMessageStore store) => [.. ReadAll(store).Select(static record => StoreModel.Describe(record.Key, record.Head, record.Body))];

    public StoreContractException Violation(string expected, string found, Exception? cause = null) => new(_case.Name, _case.Promise, expected, found, cause);
}

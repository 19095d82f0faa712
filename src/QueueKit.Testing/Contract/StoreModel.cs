using QueueKit.Stores;

namespace QueueKit.Testing.Contract;

/// <summary>What a store is to hold: the contract in a few lines, to compare stores with.</summary>
internal sealed class StoreModel
{
    private readonly SortedDictionary<StoreKey, (byte[] Head, byte[] Body)> _records = [];

    public int Count => _records.Count;

    public IEnumerable<StoreKey> Keys => _records.Keys;

    public void Apply(StoreBatch batch)
    {
        foreach (ref readonly StoreOperation operation in batch.Operations)
        {
            switch (operation.Kind)
            {
                case StoreOperationKind.Insert:
                    _records.Add(operation.Key, (operation.Head.ToArray(), operation.Body.ToArray()));
                    break;
                case StoreOperationKind.Put:
                    _records[operation.Key] = (operation.Head.ToArray(), operation.Body.ToArray());
                    break;
                case StoreOperationKind.Delete:
                    _records.Remove(operation.Key);
                    break;
                default:
                    foreach (StoreKey key in KeysBetween(operation.Key, operation.To))
                        _records.Remove(key);
                    break;
            }
        }
    }

    public StoreModel Copy()
    {
        var copy = new StoreModel();
        foreach ((StoreKey key, (byte[], byte[]) value) in _records)
            copy._records.Add(key, value);
        return copy;
    }

    /// <summary>Goes on as another state.</summary>
    public void Become(StoreModel other)
    {
        (StoreKey, (byte[], byte[]))[] records = [.. other._records.Select(static record => (record.Key, record.Value))];
        _records.Clear();
        foreach ((StoreKey key, (byte[], byte[]) value) in records)
            _records.Add(key, value);
    }

    public StoreKey[] KeysBetween(StoreKey from, StoreKey to) => [.. _records.Keys.Where(key => from <= key && key < to)];

    /// <summary>Everything in lines, in the order of the keys: two states are the same if these are.</summary>
    public string[] Describe() => [.. _records.Select(record => Describe(record.Key, record.Value.Head, record.Value.Body))];

    public static string Describe(StoreKey key, ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body) => $"{key}: {Describe(head)} | {Describe(body)}";

    private static string Describe(ReadOnlyMemory<byte> bytes) =>
        bytes.Length <= 64 ? Convert.ToHexString(bytes.Span) : $"{bytes.Length} bytes, hash {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(bytes.Span))}";
}

using LiteDB;
using LiteDB.Engine;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>The records in LiteDB's one collection. Used under the store's lock.</summary>
internal sealed class RecordTable(LiteEngine engine, string path)
{
    // Of a range delete: enough to make the query's price vanish, little enough not to hold the keys of a whole queue.
    private const int Slice = 1024;

    // Compiled once and for all: LiteDB keeps every expression with other constants in it for ever.
    private const string InRange = "$._id BETWEEN @0 AND @1";

    private static readonly BsonExpression s_id = BsonExpression.Create("$._id");

    private readonly List<BsonDocument> _documents = [];
    private readonly List<BsonValue> _keys = [];

    /// <summary>Applies a batch in one transaction of LiteDB's; false if it changed nothing, so that LiteDB wrote nothing.</summary>
    public bool Apply(StoreBatch batch) => InlineScheduler.Run(() => ApplyInTransaction(batch));

    /// <summary>As <see cref="IMessageStore.Read"/>.</summary>
    /// <exception cref="StoreException">A record is not what was written; LiteDB is well.</exception>
    public bool Read(in StoreKey from, in StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        if (from >= to)
            return false;
        using IBsonDataReader reader = engine.Query(LiteEngines.Records, RangeQuery(from, to));
        while (reader.Read())
        {
            if (!RecordDocument.TryDecode(reader.Current.AsDocument, out StoreKey key, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body))
                throw StoreErrors.Damaged(path, $"the record {key} in '{path}' is not what was written");
            if (key >= to)
                return false;
            page.Add(key, head, body);
            if (page.Records.Count >= maxCount || page.Bytes >= maxBytes)
                return true;
        }
        return false;
    }

    /// <summary>What LiteDB says when it cannot make sense of a file, in our words.</summary>
    public static StoreException Unreadable(string path, Exception error) => error is DamagedPageException damage
        ? StoreErrors.Damaged(damage.Path, damage.Message, damage)
        : StoreErrors.Damaged(path, $"LiteDB cannot read '{path}' ({error.GetType().Name}: {error.Message})", error);

    private bool ApplyInTransaction(StoreBatch batch)
    {
        bool changed = false;
        engine.BeginTrans();
        ReadOnlySpan<StoreOperation> operations = batch.Operations;
        while (!operations.IsEmpty)
        {
            StoreOperationKind kind = operations[0].Kind;
            int length = 1;
            while (length < operations.Length && operations[length].Kind == kind)
                length++;
            changed |= ApplyRun(kind, operations[..length]);
            operations = operations[length..];
        }
        engine.Commit();
        return changed;
    }

    private bool ApplyRun(StoreOperationKind kind, ReadOnlySpan<StoreOperation> run)
    {
        switch (kind)
        {
            case StoreOperationKind.Insert:
            case StoreOperationKind.Put:
                _documents.Clear();
                foreach (ref readonly StoreOperation operation in run)
                    _documents.Add(RecordDocument.Encode(operation.Key, operation.Head, operation.Body));
                if (kind == StoreOperationKind.Insert)
                    engine.Insert(LiteEngines.Records, _documents, BsonAutoId.ObjectId);
                else
                    engine.Upsert(LiteEngines.Records, _documents, BsonAutoId.ObjectId);
                _documents.Clear();
                return true;
            case StoreOperationKind.Delete:
                _keys.Clear();
                foreach (ref readonly StoreOperation operation in run)
                    _keys.Add(RecordDocument.KeyOf(operation.Key));
                return engine.Delete(LiteEngines.Records, _keys) > 0;
            case StoreOperationKind.DeleteRange:
                bool changed = false;
                foreach (ref readonly StoreOperation operation in run)
                    changed |= DeleteRange(operation.Key, operation.To);
                return changed;
            default:
                throw new ArgumentException($"The batch contains an operation of the unknown kind {kind}.", nameof(kind));
        }
    }

    private bool DeleteRange(in StoreKey from, in StoreKey to)
    {
        bool changed = false;
        while (from < to)
        {
            ReadKeys(from, to);
            if (_keys.Count == 0)
                break;
            changed |= engine.Delete(LiteEngines.Records, _keys) > 0;
            if (_keys.Count < Slice)
                break;
        }
        return changed;
    }

    private void ReadKeys(in StoreKey from, in StoreKey to)
    {
        _keys.Clear();
        Query query = RangeQuery(from, to);
        // Of the index alone: the documents are not touched.
        query.Select = s_id;
        using IBsonDataReader reader = engine.Query(LiteEngines.Records, query);
        while (_keys.Count < Slice && reader.Read())
        {
            BsonValue id = reader.Current.AsDocument["_id"];
            if (StoreKey.Read(id.AsBinary) >= to)
                return;
            _keys.Add(id);
        }
    }

    private static Query RangeQuery(in StoreKey from, in StoreKey to)
    {
        var query = new Query { OrderBy = s_id };
        query.Where.Add(BsonExpression.Create(InRange, RecordDocument.KeyOf(from), RecordDocument.KeyOf(to)));
        return query;
    }
}

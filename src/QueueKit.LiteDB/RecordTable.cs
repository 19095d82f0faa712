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

    // Of the batch, and not yet given to LiteDB.
    private readonly List<BsonDocument> _puts = [];
    private readonly List<BsonDocument> _inserts = [];
    private readonly List<BsonValue> _deletions = [];
    private readonly HashSet<StoreKey> _deleted = [];
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
        engine.BeginTrans();
        bool changed = false;
        foreach (ref readonly StoreOperation operation in batch.Operations)
            changed |= Add(operation);
        changed |= Flush();
        engine.Commit();
        return changed;
    }

    // A call to LiteDB costs as much as a document or two, and sends and acks come mixed, so all inserts are applied in one call, and then all deletions in another:
    // in this order nothing else comes of it unless something that was deleted is inserted again. Puts are rare, and stay in their place.
    private bool Add(in StoreOperation operation)
    {
        bool changed = false;
        switch (operation.Kind)
        {
            case StoreOperationKind.Insert:
                if (_puts.Count > 0 || _deleted.Contains(operation.Key))
                    changed = Flush();
                _inserts.Add(RecordDocument.Encode(operation.Key, operation.Head, operation.Body));
                return changed;
            case StoreOperationKind.Delete:
                if (_puts.Count > 0)
                    changed = Flush();
                _deleted.Add(operation.Key);
                _deletions.Add(RecordDocument.KeyOf(operation.Key));
                return changed;
            case StoreOperationKind.Put:
                if (_inserts.Count + _deletions.Count > 0)
                    changed = Flush();
                _puts.Add(RecordDocument.Encode(operation.Key, operation.Head, operation.Body));
                return changed;
            case StoreOperationKind.DeleteRange:
                changed = Flush();
                return DeleteRange(operation.Key, operation.To) || changed;
            default:
                throw new ArgumentException($"The batch contains an operation of the unknown kind {operation.Kind}.", nameof(operation));
        }
    }

    private bool Flush()
    {
        bool changed = _inserts.Count + _puts.Count > 0;
        if (_puts.Count > 0)
            engine.Upsert(LiteEngines.Records, _puts, BsonAutoId.ObjectId);
        if (_inserts.Count > 0)
            engine.Insert(LiteEngines.Records, _inserts, BsonAutoId.ObjectId);
        if (_deletions.Count > 0)
            changed |= engine.Delete(LiteEngines.Records, _deletions) > 0;
        _puts.Clear();
        _inserts.Clear();
        _deletions.Clear();
        _deleted.Clear();
        return changed;
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

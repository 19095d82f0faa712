namespace QueueKit.Sqlite;

/// <summary>The views for people: queues by name, messages with their times, and what stands in the heads of messages, which are bytes (drawn in the core's <c>MessageRecord</c>).</summary>
/// <remarks>
/// SQL has no function that makes numbers of bytes. But <c>instr</c> finds a byte among all 256 in their order (the column <c>t</c>), and where it is says what it is.
/// Nothing of this costs a commit anything.
/// </remarks>
internal static class StoreViews
{
    private static readonly string s_bytes = $"X'{Convert.ToHexString([.. Enumerable.Range(0, 256).Select(static value => (byte)value)])}'";

    public static IReadOnlyList<string> All { get; } =
    [
        """
        CREATE VIEW queues(id, name, options) AS
          SELECT queue, json_extract(CAST(head AS TEXT), '$.Name'), CAST(head AS TEXT)
          FROM records WHERE kind = 2
        """,

        $"""
        CREATE VIEW messages(queue, sequence, priority, enqueued_at, due_at, body, bytes, head, queue_id, group_id) AS
          SELECT (SELECT name FROM queues WHERE id = queue), sequence, {Message.MaxPriority} - band,
                 {Time(Int64("2"))}, CASE kind WHEN 5 THEN {Time("due")} END, body, length(body), head, queue, group_id
          FROM (SELECT *, {s_bytes} AS t FROM records WHERE kind IN (5, 128))
        """,

        // From section to section, as the flags say: at o in the head, with the length n of what begins at p. The steps: 0 to 4 a text's length, if it is there, 10 to 14 the text;
        // 5 the priority; 6 the number of headers; and for each 20 the length of its name, 21 the name, 22 kind and length of its value, 23 the value.
        $"""
        CREATE VIEW headers(queue, sequence, name, value, is_header) AS
          WITH RECURSIVE walk(queue, sequence, head, t, flags, step, o, n, p, kind, more, name, value) AS (
            SELECT queue, sequence, head, {s_bytes}, instr({s_bytes}, substr(head, 2, 1)) - 1, 0, 10, 0, 0, 0, 0, NULL, NULL
            FROM records WHERE kind IN (5, 128) AND length(head) > 14
            UNION ALL
            SELECT queue, sequence, head, t, flags,
              CASE WHEN step < 5 AND flags & (1 << step) THEN step + 10 WHEN step < 6 THEN step + 1 WHEN step = 6 THEN 20
                   WHEN step < 15 THEN step - 9 WHEN step = 23 THEN 20 ELSE step + 1 END,
              CASE WHEN step = 5 THEN o + (flags & 32) / 32 WHEN step = 6 THEN o + {LengthOfLength("o")} WHEN step IN (10, 11, 12, 13, 14, 21, 23) THEN p + n ELSE o END,
              CASE WHEN step < 5 OR step = 20 THEN {Length("o")}
                   WHEN step = 22 THEN CASE {Byte("o")} WHEN 2 THEN 1 WHEN 3 THEN 8 WHEN 4 THEN 8 WHEN 5 THEN 16 WHEN 6 THEN 16 ELSE {Length("o + 1")} END ELSE n END,
              CASE WHEN step < 5 OR step = 20 THEN o + {LengthOfLength("o")}
                   WHEN step = 22 THEN o + 1 + CASE WHEN {Byte("o")} IN (1, 7) THEN {LengthOfLength("o + 1")} ELSE 0 END ELSE p END,
              CASE WHEN step = 22 THEN {Byte("o")} ELSE kind END,
              CASE WHEN step = 6 THEN {Length("o")} WHEN step = 23 THEN more - 1 ELSE more END,
              CASE step WHEN 10 THEN 'MessageId' WHEN 11 THEN 'CorrelationId' WHEN 12 THEN 'ReplyTo' WHEN 13 THEN 'ContentType' WHEN 14 THEN 'Type'
                        WHEN 21 THEN {Text} ELSE name END,
              CASE WHEN step BETWEEN 10 AND 14 THEN {Text}
                   WHEN step = 23 THEN CASE kind WHEN 1 THEN {Text} WHEN 2 THEN iif({Byte("p")}, 'true', 'false') WHEN 3 THEN {Int64("p")} WHEN 5 THEN {Guid}
                     WHEN 6 THEN {Time(Int64("p"))} || printf(' %+03d:%02d', {Int64("p + 8")} / 60, abs({Int64("p + 8")}) % 60) ELSE substr(head, p + 1, n) END END
            FROM walk WHERE step < 6 OR step BETWEEN 10 AND 14 OR (step = 6 AND flags & 64) OR step > 20 OR (step = 20 AND more > 0))
          SELECT (SELECT name FROM queues WHERE id = walk.queue), sequence, name, value, step = 20
          FROM walk WHERE value IS NOT NULL
        """,
    ];

    private const string Text = "CAST(substr(head, p + 1, n) AS TEXT)";

    // Its first three parts are little-endian.
    private static string Guid => $"lower({Hex(3, 2, 1, 0)} || '-' || {Hex(5, 4)} || '-' || {Hex(7, 6)} || '-' || {Hex(8, 9)} || '-' || {Hex(10, 11, 12, 13, 14, 15)})";

    private static string Byte(string at) => $"(instr(t, substr(head, {at} + 1, 1)) - 1)";

    private static string Int64(string at) => $"({string.Join(" + ", Enumerable.Range(0, 8).Select(index => $"({Byte($"{at} + {index}")} << {8 * index})"))})";

    private static string Hex(params int[] bytes) => string.Join(" || ", bytes.Select(static index => $"hex(substr(head, p + {index + 1}, 1))"));

    // Seven bits a byte, the lowest first, and another byte follows where the eighth is set. Nothing in a head is so long that it needs a fourth.
    private static string Length(string at) =>
        $"CASE WHEN {Byte(at)} < 128 THEN {Byte(at)} WHEN {Byte($"{at} + 1")} < 128 THEN {Byte(at)} - 128 + 128 * {Byte($"{at} + 1")} ELSE {Byte(at)} - 128 + 128 * ({Byte($"{at} + 1")} - 128) + 16384 * {Byte($"{at} + 2")} END";

    private static string LengthOfLength(string at) => $"CASE WHEN {Byte(at)} < 128 THEN 1 WHEN {Byte($"{at} + 1")} < 128 THEN 2 ELSE 3 END";

    // Times are .NET ticks, of 100 ns, since the year 1.
    private static string Time(string ticks) => $"strftime('%Y-%m-%d %H:%M:%f', ({ticks} - {DateTime.UnixEpoch.Ticks}) / 1e7, 'unixepoch')";
}

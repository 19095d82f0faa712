namespace QueueKit.Tests.Stores;

/// <summary>What became of stores that were damaged at random.</summary>
internal sealed class DamageTally
{
    public int Refused { get; set; }
    public int Harmless { get; set; }
    public int Whole { get; set; }
    public int Lost { get; set; }
    public int Back { get; set; }

    public override string ToString() =>
        $"{Refused + Harmless} damaged stores: {Refused} refused, {Harmless} opened with everything; after the repair {Whole} have everything, {Lost} messages are lost and {Back} are back in the others, all of it said";
}

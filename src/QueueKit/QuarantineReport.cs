namespace QueueKit;

/// <summary>What was set aside when a damaged store was opened under <see cref="DamagePolicy.Quarantine"/>.</summary>
/// <param name="Cause">Why the store could not be opened as it was.</param>
/// <param name="Findings">What was damaged, what is lost, and what was made anew in its place, in sentences.</param>
/// <param name="SetAside">The files as they were before, under new names: delete them when they are not needed any more.</param>
public sealed record QuarantineReport(StoreException Cause, IReadOnlyList<string> Findings, IReadOnlyList<string> SetAside);

using System.Runtime.CompilerServices;

namespace QueueKit.Testing.Contract;

/// <summary>Makes a case of a method, whose name it gets.</summary>
internal static class Cases
{
    public static StoreContractCase New(string promise, Action<ContractRun> run, [CallerArgumentExpression(nameof(run))] string name = "") =>
        New(promise, StoreAbilities.None, run, name);

    public static StoreContractCase New(string promise, Func<ContractRun, Task> run, [CallerArgumentExpression(nameof(run))] string name = "") =>
        New(promise, StoreAbilities.None, run, name);

    public static StoreContractCase New(string promise, StoreAbilities needs, Action<ContractRun> run, [CallerArgumentExpression(nameof(run))] string name = "") =>
        New(
            promise,
            needs,
            started =>
            {
                run(started);
                return Task.CompletedTask;
            },
            name);

    public static StoreContractCase New(string promise, StoreAbilities needs, Func<ContractRun, Task> run, [CallerArgumentExpression(nameof(run))] string name = "") =>
        new(name, promise, needs, run);
}

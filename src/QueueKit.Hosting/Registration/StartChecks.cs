using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Polly;
using Polly.Registry;
using QueueKit.Hosting.Recurring;

namespace QueueKit.Hosting.Registration;

/// <summary>What can be known to go wrong before a store is opened or a message taken.</summary>
internal static class StartChecks
{
    public static IEnumerable<string> Problems(BrokerRegistration registration, IServiceProvider services)
    {
        var known = registration.Queues.ToHashSet(StringComparer.Ordinal);
        foreach (HandlerRegistration handler in registration.Handlers)
        {
            if (!known.Contains(handler.Queue))
                yield return $"{Capital(handler.ToString())} takes from queue '{handler.Queue}', which {registration} does not have. {AddIt(handler.Queue, known)}";
            if (services.GetService<IServiceProviderIsService>() is { } isService && Unmakeable(handler, isService) is { } trouble)
                yield return $"{Capital(handler.ToString())} of queue '{handler.Queue}' {trouble}";
        }
        foreach ((string queue, Action<MessageFormats> ensureFormat) in registration.TypedQueues)
        {
            if (Failure(() => ensureFormat(registration.Formats)) is { } failure)
                yield return $"Queue '{queue}': {failure}";
        }
        foreach ((string queue, string where) in registration.HandlerSections)
        {
            if (!registration.Handlers.Exists(handler => handler.Queue == queue))
                yield return $"{where}: queue '{queue}' has no handler. Add one, or remove the section.";
        }
        foreach ((string name, string where) in registration.RecurringSections)
        {
            if (!registration.Recurring.Exists(recurring => recurring.Name == name))
                yield return $"{where}: there is no recurring message '{name}'. Add it with AddRecurring, or remove the section.";
        }
        foreach (IGrouping<string, RecurringRegistration> recurring in registration.Recurring.GroupBy(static recurring => recurring.Name))
        {
            if (recurring.Count() > 1)
                yield return $"There are {recurring.Count()} recurring messages '{recurring.Key}'. Give each a name of its own.";
            if (!recurring.Key.All(static c => char.IsAsciiLetterOrDigit(c) || c == '-'))
                yield return $"Recurring message '{recurring.Key}': the name may have letters, digits and hyphens only.";
            if (!known.Contains(recurring.First().Queue))
                yield return $"Recurring message '{recurring.Key}' goes to queue '{recurring.First().Queue}', which {registration} does not have. {AddIt(recurring.First().Queue, known)}";
            if (Failure(() => recurring.First().EnsureFormat(registration.Formats)) is { } failure)
                yield return $"Recurring message '{recurring.Key}': {failure}";
        }
        foreach (string problem in registration.Handlers.GroupBy(static handler => handler.Queue).SelectMany(group => Conflicts(registration, [.. group])))
            yield return problem;
    }

    /// <summary>The pipeline of that key; null if there is none.</summary>
    public static ResiliencePipeline? FindPipeline(string? key, IServiceProvider services) =>
        key is not null && services.GetService<ResiliencePipelineProvider<string>>() is { } pipelines && pipelines.TryGetPipeline(key, out ResiliencePipeline? pipeline) ? pipeline : null;

    private static string AddIt(string queue, HashSet<string> known) =>
        $"Add it with AddQueue(\"{queue}\"){(known.Count == 0 ? "." : $", or take one of those it has: {string.Join(", ", known.Order(StringComparer.Ordinal))}.")}";

    private static string? Unmakeable(HandlerRegistration handler, IServiceProviderIsService services)
    {
        if (handler.HandlerType is null)
            return null;
        if (!services.IsService(handler.HandlerType))
            return "is not registered as a service any more. AddHandler registers it; leave that, or register it otherwise.";
        // One that the application has registered itself may be made by a factory.
        if (!handler.IsOwnRegistration)
            return null;
        var missing = new List<ParameterInfo>();
        foreach (ConstructorInfo constructor in handler.HandlerType.GetConstructors())
        {
            ParameterInfo? lacks = constructor.GetParameters().FirstOrDefault(parameter =>
                !parameter.HasDefaultValue && !parameter.IsDefined(typeof(FromKeyedServicesAttribute)) && !services.IsService(parameter.ParameterType));
            if (lacks is null)
                return null;
            missing.Add(lacks);
        }
        return missing.Count == 0
            ? "has no public constructor."
            : $"cannot be made: nothing is registered for {missing[0].ParameterType} (parameter '{missing[0].Name}').";
    }

    private static IEnumerable<string> Conflicts(BrokerRegistration registration, HandlerRegistration[] handlers)
    {
        string queue = handlers[0].Queue;
        if (handlers.Length > 1 && handlers.FirstOrDefault(static handler => handler.IsBatch) is { } batch)
            yield return $"Queue '{queue}' has {handlers.Length} handlers, one of which takes batches ({batch}). A batch handler must be the only one of its queue.";
        var byType = new Dictionary<string, HandlerRegistration>(StringComparer.Ordinal);
        foreach (HandlerRegistration handler in handlers)
        {
            string? type = null;
            if (Failure(() => type = handler.TypeName(registration.Formats)) is { } failure)
                yield return $"Queue '{queue}', {handler}: {failure}";
            else if (!byType.TryAdd(type!, handler))
                yield return $"Queue '{queue}' has two handlers for messages of type '{type}': {byType[type!]}, and {handler}. One message goes to one handler; remove one, or give them queues of their own.";
        }
    }

    private static string? Failure(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (InvalidOperationException error)
        {
            return error.Message;
        }
    }

    /// <summary>With a capital letter, as at the beginning of a sentence.</summary>
    public static string Capital(string text) => char.ToUpperInvariant(text[0]) + text[1..];
}

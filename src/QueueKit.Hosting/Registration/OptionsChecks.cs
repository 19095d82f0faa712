using Microsoft.Extensions.Options;

namespace QueueKit.Hosting.Registration;

/// <summary>Checks the options of one queue.</summary>
internal sealed class QueueOptionsCheck(string key, string queue) : IValidateOptions<QueueOptions>
{
    public ValidateOptionsResult Validate(string? name, QueueOptions options)
    {
        if (name != key)
            return ValidateOptionsResult.Skip;
        try
        {
            options.Validate(queue);
            return ValidateOptionsResult.Success;
        }
        catch (ArgumentException error)
        {
            return ValidateOptionsResult.Fail(Words(error));
        }
    }

    /// <summary>What is wrong, without the name of the parameter, which only its caller can place.</summary>
    public static string Words(ArgumentException error) =>
        error.ParamName is { } name && error.Message.EndsWith($" (Parameter '{name}')", StringComparison.Ordinal) ? error.Message[..error.Message.LastIndexOf(" (Parameter", StringComparison.Ordinal)] : error.Message;
}

/// <summary>Checks the options of one queue's handlers.</summary>
internal sealed class HandlerOptionsCheck(string key, string queue) : IValidateOptions<HandlerOptions>
{
    public string Key => key;

    public ValidateOptionsResult Validate(string? name, HandlerOptions options)
    {
        if (name != key)
            return ValidateOptionsResult.Skip;
        string[] problems = [.. options.Problems(queue)];
        return problems.Length == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems);
    }
}

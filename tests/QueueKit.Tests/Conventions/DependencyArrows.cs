using System.Reflection;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace QueueKit.Tests.Conventions;

/// <summary>Which part may know which, and how to find out that one knows more. Apart from the tests, so that they can be tried on made-up code.</summary>
internal static class DependencyArrows
{
    private const string Core = "QueueKit";

    /// <summary>The folders of the core. Each may mention itself, the types an application uses (the root's) and the folders named here.</summary>
    public static IReadOnlyDictionary<string, string[]> InsideTheCore { get; } = new Dictionary<string, string[]>
    {
        ["Queues"] = ["Stores", "Scheduling", "Collections", "Diagnostics"],
        ["Stores"] = ["Scheduling", "Collections", "Diagnostics"],
        ["Scheduling"] = ["Collections"],
        ["Routing"] = [],
        ["Typed"] = [],
        ["Collections"] = [],
        ["Diagnostics"] = [],
    };

    /// <summary>The folders that a source text of a folder mentions and must not: by a using directive or by a qualified name, in code or in a comment.</summary>
    public static IEnumerable<string> ForbiddenMentions(string folder, string source) =>
        ForbiddenTo(folder).Where(other => Regex.IsMatch(source, $@"\b{Core}\.{other}\b|(?<![\w.]){other}\.[A-Za-z_]"));

    /// <summary>What the type of a folder has from folders that it must not know: in its bases, fields, signatures and local variables.</summary>
    public static IEnumerable<string> ForbiddenReferences(string folder, Type type) =>
        from referenced in References(type).SelectMany(Flatten).Distinct()
        where ForbiddenTo(folder).Any(other => $"{referenced.Namespace}.".StartsWith($"{Core}.{other}.", StringComparison.Ordinal))
        select $"{type.FullName} refers to {referenced.FullName}";

    /// <summary>What a project below src refers to and must not: the core refers to no project and one package, the others to no project of ours but the core.</summary>
    public static IEnumerable<string> ForbiddenProjectReferences(string project, string projectFile)
    {
        XDocument document = XDocument.Parse(projectFile);
        foreach (string reference in Includes(document, "ProjectReference").Select(path => Path.GetFileNameWithoutExtension(path.Replace('\\', '/'))))
        {
            if (project == Core || reference != Core)
                yield return $"{project} refers to the project {reference}";
        }
        foreach (string package in Includes(document, "PackageReference"))
        {
            if (project == Core ? package != "Microsoft.Extensions.Logging.Abstractions" : package == Core || package.StartsWith(Core + ".", StringComparison.Ordinal))
                yield return $"{project} refers to the package {package}";
        }
    }

    private static IEnumerable<string> ForbiddenTo(string folder) =>
        InsideTheCore.Keys.Where(other => other != folder && !(InsideTheCore.TryGetValue(folder, out string[]? allowed) && allowed.Contains(other)));

    private static IEnumerable<string> Includes(XDocument document, string element) =>
        document.Descendants(element).Select(reference => (string?)reference.Attribute("Include") ?? "").Where(include => include.Length > 0);

    private static IEnumerable<Type> References(Type type)
    {
        const BindingFlags Declared =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

        IEnumerable<MethodBase> methods = [.. type.GetMethods(Declared), .. type.GetConstructors(Declared)];
        return
        [
            .. type.BaseType is null ? [] : (Type[])[type.BaseType],
            .. type.GetInterfaces(),
            .. type.GetFields(Declared).Select(field => field.FieldType),
            .. methods.SelectMany(method => method.GetParameters()).Select(parameter => parameter.ParameterType),
            .. methods.OfType<MethodInfo>().Select(method => method.ReturnType),
            .. methods.SelectMany(method => method.GetMethodBody()?.LocalVariables ?? []).Select(local => local.LocalType),
        ];
    }

    private static IEnumerable<Type> Flatten(Type type)
    {
        if (type.HasElementType)
            return Flatten(type.GetElementType()!);
        return type.IsConstructedGenericType ? [type.GetGenericTypeDefinition(), .. type.GetGenericArguments().SelectMany(Flatten)] : [type];
    }
}

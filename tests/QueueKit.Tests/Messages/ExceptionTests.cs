using System.Reflection;

namespace QueueKit.Tests.Messages;

public class ExceptionTests
{
    private static readonly Type[] s_types = [.. typeof(QueueKitException).Assembly.GetExportedTypes().Where(type => type.IsAssignableTo(typeof(QueueKitException)))];

    [Test]
    public void EveryExceptionCarriesItsMessageAndItsCause([ValueSource(nameof(s_types))] Type type)
    {
        var cause = new InvalidOperationException();

        var plain = (Exception)Activator.CreateInstance(type)!;
        var told = (Exception)Activator.CreateInstance(type, "What to do.")!;
        var caused = (Exception)type.GetConstructor([typeof(string), typeof(Exception)])!.Invoke(["What to do.", cause]);

        Assert.That((plain.InnerException, told.Message, caused.Message, caused.InnerException), Is.EqualTo(((Exception?)null, "What to do.", "What to do.", cause)));
    }

    [Test]
    public void EveryExceptionIsCaughtAsOneOfTheLibrarys()
    {
        IEnumerable<Type> exceptions = typeof(QueueKitException).Assembly.GetExportedTypes().Where(type => type.IsAssignableTo(typeof(Exception)));

        Assert.That(exceptions, Is.EquivalentTo(s_types));
    }

    [Test]
    public void ExceptionsAboutAQueueNameIt()
    {
        Assert.That(new QueueFullException("orders", "Full.").QueueName, Is.EqualTo("orders"));
        Assert.That(new QueueNotFoundException("orders", "Gone.").QueueName, Is.EqualTo("orders"));
        Assert.That(new QueueDeclarationException("orders", "Different.").QueueName, Is.EqualTo("orders"));
    }

    [Test]
    public void AMessageThatIsTooLargeComesWithItsSizeAndTheLimit()
    {
        var error = new MessageTooLargeException("Too large.", size: 17, limit: 16);

        Assert.That((error.Size, error.Limit, error.Message), Is.EqualTo((17L, 16L, "Too large.")));
    }

    [TestCase(StoreFault.Failed, true)]
    [TestCase(StoreFault.Refused, false)]
    [TestCase(StoreFault.Stopped, false)]
    [TestCase(StoreFault.Unreadable, false)]
    public void AStoresTroubleComesWithItsKindItsPathAndWhetherAnythingMayHaveHappened(StoreFault fault, bool unknown)
    {
        var cause = new IOException();
        var error = new StoreException(fault, "Trouble.", "queue.db", cause);

        Assert.That((error.Fault, error.OutcomeUnknown, error.Path, error.InnerException), Is.EqualTo((fault, unknown, "queue.db", cause)));
    }
}

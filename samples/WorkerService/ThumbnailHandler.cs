using QueueKit;
using QueueKit.Hosting;

namespace WorkerService;

// <handler>
/// <summary>Makes a thumbnail. Delivery is at least once: it writes the same file however often it is called.</summary>
internal sealed class ThumbnailHandler(Progress progress) : IMessageHandler<Thumbnail>
{
    public async ValueTask<Settlement> HandleAsync(Thumbnail thumbnail, MessageContext context, CancellationToken ct)
    {
        await Task.Delay(20, ct); // the work
        if (thumbnail.Picture.EndsWith(".xyz", StringComparison.Ordinal))
            throw new UnknownFormatException(thumbnail.Picture); // a rule makes it a dead letter
        if (thumbnail.Picture.EndsWith("0.jpg", StringComparison.Ordinal) && context.Attempt == 1)
            throw new InvalidOperationException("Half a file."); // no rule: it comes back
        progress.Made(thumbnail.Picture);
        return Settlement.Ack;
    }
}
// </handler>

using WebApi;

// POST /orders takes an order and answers at once: 202 with a receipt when it is in its queue, 429 with Retry-After when the queue is full.
await OrderApi.Build(args).RunAsync();

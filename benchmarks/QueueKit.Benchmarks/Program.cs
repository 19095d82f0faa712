using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;

// Reports go beside the build output, not into whatever folder this is started from.
IConfig config = DefaultConfig.Instance.WithArtifactsPath(Path.Combine(AppContext.BaseDirectory, "reports"));
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config);

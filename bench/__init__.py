"""The demo and the benchmarks. No module that ships imports this package."""

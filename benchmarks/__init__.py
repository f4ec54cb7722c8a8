"""Benchmarks: `python -m benchmarks memory`. Figures of past runs are kept in results.md."""

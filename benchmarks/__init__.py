"""Benchmarks: `python -m benchmarks NAME`. Figures of past runs are kept in results.md."""

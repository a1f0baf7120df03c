"""Benchmarks, and the naive rivals they are measured against."""

"""Benchmarks: ratios side by side in one run on the same work."""

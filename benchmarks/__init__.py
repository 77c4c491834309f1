"""Benchmarks: contenders that run in turns within one session."""

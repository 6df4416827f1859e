"""Judging: the closed-loop benchmark, its baselines and report, and the throughput measurements."""

"""Benchmarks behind the speed figures in the documentation; README.md states how to run each."""

"""Compilation for accelerators that are not here, and what the compiled programs say."""

"""Checkpoints of the publications' PyTorch code: read as ours, and ours written as theirs."""

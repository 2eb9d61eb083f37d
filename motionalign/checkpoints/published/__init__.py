"""Conversion between our checkpoints and those of published PyTorch code, in both directions."""

"""Trained models on disk: checkpoints of runs, folders to share, published formats."""

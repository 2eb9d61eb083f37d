"""Trained models in use: clips and texts in, embeddings and scores out."""

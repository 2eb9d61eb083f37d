"""Inference with trained models: clips and texts to embeddings and scores."""

"""Tasks (supervision and evaluation) and training objectives."""

"""The built-in synthetic dataset: catalogue of actions, motion generation and captions."""

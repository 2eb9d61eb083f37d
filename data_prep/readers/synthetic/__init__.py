"""The built-in dataset: what can happen, how it moves and how it is said."""

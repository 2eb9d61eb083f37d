"""Descriptions of actions and appearances: generation, and the files shipped with the project."""

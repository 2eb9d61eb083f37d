"""Words for actions and appearances: a language model's, and those that ship with the project."""

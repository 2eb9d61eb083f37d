"""What clips are told by, what training minimises, and how models are scored."""

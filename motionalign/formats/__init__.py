"""Third-party motion formats; each module converts one to joints, skeleton and frame rate."""

"""Motion files of other makers: each to joints, skeleton and frame rate."""

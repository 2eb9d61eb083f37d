"""One file a run; each has `get_config(arg)`. See common.py for what every field means."""

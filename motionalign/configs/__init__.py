"""Training configs, one file per run; each defines `get_config(arg)`.

The fields are documented in motionalign/config.py.
"""

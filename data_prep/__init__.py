"""Data preparation: raw skeleton files in, TFRecord motion patches out (`python -m data_prep`)."""

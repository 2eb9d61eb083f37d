"""Data preparation: converts raw motion files to TFRecord datasets (`python -m data_prep`)."""

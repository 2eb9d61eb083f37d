"""Strict loading of pretrained weights: key maps as data, one loader, local and Hub sources."""

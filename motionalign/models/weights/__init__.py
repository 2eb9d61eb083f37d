"""Pretrained weights in, strictly: sources, key maps as data, one loader."""

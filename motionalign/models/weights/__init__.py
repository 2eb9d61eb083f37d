"""Pretrained weights in, strictly: key maps as data, one loader, sources local or on the Hub."""

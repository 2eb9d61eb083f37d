"""Runs as shapes: compiled for accelerators before anything is rented, prepared or downloaded."""

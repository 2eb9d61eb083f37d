"""Towers and the dual encoder, as Flax NNX modules that are used functionally.

A model is split into a graph definition and a tree of parameters, and merged again inside pure
functions; nothing relies on graph updates, shared parameters or object identity, which Flax is
moving away from (FLIP 5310). `network.Network` and whoever else splits a module does so in Flax's
tree mode, which makes that a fact instead of a habit. The mode is never switched for the process:
other models in it may share parameters.
"""

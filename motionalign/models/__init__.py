"""Towers and the dual encoder, as Flax NNX modules that are used functionally.

A model is split into a graph definition and a tree of parameters, and merged again inside pure
functions; nothing relies on graph updates, shared parameters or object identity, which Flax is
moving away from (FLIP 5310). Tree mode makes that a fact instead of a habit.
"""

from flax import nnx

nnx.set_graph_mode(False)

"""Encoders and the dual encoder, as Flax NNX modules that are used functionally.

A model is split into a graph definition and a tree of parameters, and merged again inside pure
functions. Nothing relies on graph updates, shared parameters or object identity, which Flax is
moving away from (FLIP 5310). All code that splits a module, such as `network.Network`, does so in
Flax's tree mode, which enforces this. The mode is never switched for the whole process, because
other models in the process may share parameters.
"""

"""Deprecated: the shipped configs are in `motionalign.configs`.

Config files that were written for version 0.1 import them from here (`from configs import common`),
in a clone.
"""

import warnings

import motionalign.configs

warnings.warn("configs is now motionalign.configs", DeprecationWarning, stacklevel=2)
__path__ = list(motionalign.configs.__path__)

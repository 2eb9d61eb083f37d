"""Conventions of motion: declared, verified, and made if asked.

`measure` finds what a clip is from its joints alone, `implausible` compares it with what it should
be, `Census` does both for many clips, `Declared` converts joints that are given in other
conventions, and `canonical` makes HumanML3D's convention for the origin.
"""

from motionalign.conventions.census import Census
from motionalign.conventions.declared import UNITS, Declared, read_order, to_y
from motionalign.conventions.findings import (
    REASONS,
    SENSORS,
    Finding,
    as_flag,
    implausible,
)
from motionalign.conventions.measured import AXES, Measured, measure
from motionalign.conventions.origin import Origin, canonical

__all__ = (
    "AXES",
    "REASONS",
    "SENSORS",
    "UNITS",
    "Census",
    "Declared",
    "Finding",
    "Measured",
    "Origin",
    "as_flag",
    "canonical",
    "implausible",
    "measure",
    "read_order",
    "to_y",
)

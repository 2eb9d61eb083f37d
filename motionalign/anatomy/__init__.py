"""What the joints of a motion file are: a human body, its parts, its unit and its axes.

Found from names, from the tree, and from the pose; nothing has to be configured.
"""

from motionalign.anatomy.body import PARTS, ROLES, Body, NotHuman, Point
from motionalign.anatomy.native import native, skeleton_of
from motionalign.anatomy.points import Points, points
from motionalign.anatomy.smpl22 import Smpl22, smpl22
from motionalign.anatomy.understand import require_human, understand

__all__ = (
    "PARTS",
    "ROLES",
    "Body",
    "NotHuman",
    "Point",
    "Points",
    "Smpl22",
    "native",
    "points",
    "require_human",
    "skeleton_of",
    "smpl22",
    "understand",
)

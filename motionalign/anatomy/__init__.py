"""What the joints of a motion file are: a human body, its parts, its unit and its axes.

Found from names, from the tree, and from the pose; nothing has to be configured.
"""

from motionalign.anatomy.body import PARTS, ROLES, Body, NotHuman, Point
from motionalign.anatomy.understand import require_human, understand

__all__ = ("PARTS", "ROLES", "Body", "NotHuman", "Point", "require_human", "understand")

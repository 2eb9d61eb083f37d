"""KIT-ML as HumanML3D's authors publish it: the same folder layout, 21 joints, 12.5 fps.

The joints are not in metres and their scale is not stated, so `unit_in_metres` is unknown.
https://github.com/EricGuo5513/HumanML3D (section "KIT-ML Dataset")
"""

import pathlib

from data_prep.readers.humanml3d import HumanML3D
from motionalign.data.resample import KIT_ML_FPS
from motionalign.skeleton import SKELETONS


class KitML(HumanML3D):
    title = "KIT-ML"
    skeleton = SKELETONS["kit21"]
    unit_in_metres = None

    def __init__(self, raw_dir: str | pathlib.Path):
        super().__init__(raw_dir, fps=KIT_ML_FPS)

"""KIT-ML as HumanML3D's authors publish it: the same folder layout, 21 joints, 12.5 fps.

The joints are not in metres and their scale is not stated, so `unit_in_metres` is unknown.
https://github.com/EricGuo5513/HumanML3D (section "KIT-ML Dataset")
"""

import numpy as np

from data_prep.readers.humanml3d import HumanML3D
from motionalign.resample import KIT_ML_FPS, kit_ml_frames
from motionalign.skeleton import SKELETONS


class KitML(HumanML3D):
    title = "KIT-ML"
    skeleton = SKELETONS["kit21"]
    source_fps = KIT_ML_FPS
    unit_in_metres = None

    def frames_at_20fps(self, num_frames: int) -> np.ndarray:
        return kit_ml_frames(num_frames)

"""KIT-ML as HumanML3D's authors publish it: the same folder layout, 21 joints, 12.5 fps.

The joints are not in metres and their scale is not stated, so `unit_in_metres` is unknown.
https://github.com/EricGuo5513/HumanML3D (section "KIT-ML Dataset")
"""

import numpy as np

from data_prep.readers import FPS
from data_prep.readers.humanml3d import HumanML3D
from motionalign.skeleton import SKELETONS


class KitML(HumanML3D):
    title = "KIT-ML"
    skeleton = SKELETONS["kit21"]
    source_fps = 12.5
    unit_in_metres = None

    def frames_at_20fps(self, num_frames: int) -> np.ndarray:
        """The published rule: every 12 frames become 20 by repetition, in the last block as well.

        12 and not 12.5, as the published code rounds the rate down to whole frames a second
        (25 frames give 42); clips play 4% slower for it, in their numbers and in ours.
        """
        block = int(self.source_fps)
        out = np.arange((num_frames // block + 1) * int(FPS))
        second, frame = np.divmod(out, int(FPS))
        index = second * block + np.floor(self.source_fps / FPS * frame).astype(int)
        return index[index < num_frames]

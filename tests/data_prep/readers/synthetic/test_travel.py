"""Locomotion."""

import numpy as np
from seen import Seen


def test_arms_swing_opposite_to_the_legs(clips):
    for clip in clips:
        if not clip.meaning.startswith(("walk ", "jog ", "sprint ")) or "arm" in clip.meaning:
            continue
        if "hands" in clip.meaning or "tiny" in clip.meaning or " then " in clip.meaning:
            continue
        seen = Seen(clip.joints)
        arms = seen.ahead("left_wrist", "pelvis") - seen.ahead("right_wrist", "pelvis")
        legs = seen.ahead("left_ankle", "pelvis") - seen.ahead("right_ankle", "pelvis")
        assert np.corrcoef(arms, legs)[0, 1] < -0.2, clip.meaning

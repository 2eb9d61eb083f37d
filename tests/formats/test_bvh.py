"""BVH files."""

import motion_files
import numpy as np

from motionalign import formats


def test_a_written_human_reads_back(tmp_path):
    joints = motion_files.human()
    still = motion_files.swing(joints, 3, degrees=0)
    (motion,) = formats.read(motion_files.write_bvh(tmp_path / "still.bvh", joints, still))
    assert motion.name == "still" and motion.format == "BVH" and motion.fps == 30
    assert motion.positions.shape == (3, 1, 27, 3)
    np.testing.assert_allclose(motion.positions, np.stack([motion.rest] * 3)[:, None])
    of = dict(zip(motion.joint_names, motion.rest))
    np.testing.assert_allclose(of["Head_end"], [0, 172, 1])
    np.testing.assert_allclose(of["RightHand"], [-71, 141, 0])
    np.testing.assert_allclose(of["LeftToeBase_end"], [9, 2, 20])


def test_end_sites_are_no_joints(tmp_path):
    joints = motion_files.human()
    values = motion_files.swing(joints, 3)
    (motion,) = formats.read(motion_files.write_bvh(tmp_path / "clip.bvh", joints, values))
    assert motion.num_joints == 22
    ends = {motion.joint_names[end] for end in motion.ends}
    assert ends == {"Head_end", *(f"{side}{name}_end" for side in ("Left", "Right")
                                  for name in ("Hand", "ToeBase"))}  # fmt: skip

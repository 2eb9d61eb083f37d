"""Random but plausible bodies: bones of constant, human length that stand, walk about and wave."""

import numpy as np

from motionalign.skeleton import SKELETONS

# Metres and directions of the bones of a chain, outwards from the torso; left is +X, front +Z.
_LEG = ((0.10, (1, 0, 0)), (0.40, (0, -1, 0.1)), (0.42, (0, -1, -0.1)), (0.13, (0, -0.3, 1)),
        (0.05, (0, 0, 1)))  # fmt: skip
_ARM = ((0.10, (1, 0.4, 0)), (0.14, (1, 0, 0)), (0.27, (1, -1, 0)), (0.25, (1, -1, 0.3)),
        (0.08, (1, 0, 0)), (0.05, (1, 0, 0)))  # fmt: skip
# From the shoulder, of skeletons without a pelvis.
_HANGING_LEG = ((0.59, (0, -1, 0)), (0.40, (0, -1, 0.3)), (0.42, (0, -1, -0.3)))


def body(frames=30, skeleton="smpl22", seed=0, unit=1.0, travel=0.02):
    """Joints [frames, J, 3] float32, Y up, the lowest at 0, facing +Z at first.

    Args:
      frames: T.
      skeleton: name of a three-dimensional skeleton.
      seed: of the poses.
      unit: metres per unit of the result.
      travel: metres a frame that the root moves at most.
    """
    skeleton = SKELETONS[skeleton]
    rng = np.random.default_rng(seed)
    bones = np.zeros((skeleton.num_joints, 3))
    for name, chain in zip(skeleton.chain_names, skeleton.chains):
        side = -1 if name.startswith("right") else 1
        for i, joint in enumerate(chain[1:]):
            if name == "torso":
                bones[joint] = np.array([0, 0.6 / (len(chain) - 1), 0])
            else:
                leg = _LEG if chain[0] == 0 else _HANGING_LEG
                length, direction = (leg if name.endswith("leg") else _ARM)[i]
                direction = np.array(direction) * [side, 1, 1]
                bones[joint] = length * direction / np.linalg.norm(direction)
    # Every bone swings about its rest direction; the first frame is the rest pose.
    time = np.arange(frames)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (1, len(bones), 3))
    speed = rng.uniform(0.1, 0.4, (1, len(bones), 3))
    swing = 0.15 * (np.sin(speed * time + phase) - np.sin(phase))
    lengths = np.linalg.norm(bones, axis=-1, keepdims=True)
    moved = bones + swing * lengths
    norms = np.linalg.norm(moved, axis=-1, keepdims=True)
    moved = moved / np.where(norms > 0, norms, 1) * lengths
    joints = np.zeros((frames, len(bones), 3))
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            joints[:, joint] = joints[:, parent] + moved[:, joint]
    path = np.cumsum(rng.uniform(-travel, travel, (frames, 3)), axis=0)
    joints += ((path - path[0]) * [1, 0, 1])[:, None]
    joints[..., 1] -= joints[..., 1].min()
    return (joints / unit).astype(np.float32)

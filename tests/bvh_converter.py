"""A converter as a user might write it: a BVH file of the test data to joints in metres, Y up.

It does what the README asks of joints and no more: SMPL's order, metres, 20 frames per second. The
clip does not start at the origin, nor face +Z.
"""

import numpy as np

# The joint of the file for each joint of SMPL. SMPL has a spine of three joints, the file of two.
OF_SMPL = (
    "Hips UpperLeg_L UpperLeg_R Spine LowerLeg_L LowerLeg_R Spine+Chest Foot_L Foot_R Chest Toes_L "
    "Toes_R Neck Shoulder_L Shoulder_R Head UpperArm_L UpperArm_R LowerArm_L LowerArm_R Hand_L "
    "Hand_R"
).split()


def joints_of(path, fps=20.0):
    """[T, 22, 3] float32 from a BVH file with six channels a joint, ZXY, in centimetres."""
    names, _, places, rate = all_joints_of(path)
    of = {name: places[:, i] for i, name in enumerate(names)}
    of["Spine+Chest"] = (of["Spine"] + of["Chest"]) / 2
    joints = np.stack([of[name] for name in OF_SMPL], axis=1) / 100
    return _resampled(joints, rate, fps).astype(np.float32)


def all_joints_of(path):
    """Names, parents, positions [T, J, 3] in centimetres and frame rate of such a file."""
    names, parents, open_joints, lines = [], [], [], path.read_text("utf-8").splitlines()
    start = lines.index("MOTION")
    in_end = False
    for line in map(str.split, lines[:start]):
        if line[0] in ("ROOT", "JOINT"):
            parents.append(open_joints[-1] if open_joints else -1)
            open_joints.append(len(names))
            names.append(line[1])
        elif line[0] == "End":
            in_end = True
        elif line[0] == "CHANNELS":
            assert line[1:] == [
                "6", *(f"{axis}position" for axis in "XYZ"), *(f"{axis}rotation" for axis in "ZXY")
            ]  # fmt: skip
        elif line[0] == "}":
            in_end, _ = False, None if in_end else open_joints.pop()
    rate = 1 / float(lines[start + 2].split()[-1])
    values = np.array([line.split() for line in lines[start + 3 :] if line], float)
    values = values.reshape(len(values), len(names), 6)
    return names, parents, _global_positions(values, parents), rate


def _global_positions(values, parents):
    """Global positions [T, J, 3] from channels [T, J, 6]."""
    z, x, y = np.moveaxis(np.radians(values[..., 3:]), -1, 0)
    local = _about(2, z) @ _about(0, x) @ _about(1, y)
    places, turns = np.empty((*values.shape[:2], 3)), np.empty_like(local)
    for joint, parent in enumerate(parents):
        if parent < 0:
            places[:, joint], turns[:, joint] = values[:, joint, :3], local[:, joint]
            continue
        offset = turns[:, parent] @ values[:, joint, :3, None]
        places[:, joint] = places[:, parent] + offset[..., 0]
        turns[:, joint] = turns[:, parent] @ local[:, joint]
    return places


def _about(axis, angle):
    """Rotations [..., 3, 3] about a coordinate axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.zeros((*angle.shape, 3, 3))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    out[..., axis, axis] = 1
    out[..., a, a] = out[..., b, b] = cos
    out[..., a, b], out[..., b, a] = -sin, sin
    return out


def _resampled(joints, rate, fps):
    """Linear interpolation of joints [T, J, 3] to another frame rate."""
    count = int((len(joints) - 1) * fps / rate + 1e-6) + 1
    at = np.minimum(np.arange(count) * rate / fps, len(joints) - 1)
    left = np.minimum(at.astype(int), len(joints) - 2)
    share = (at - left)[:, None, None]
    return joints[left] * (1 - share) + joints[left + 1] * share

"""Writers of synthetic motion files: BVH, and ASF/AMC, of any skeleton.

    joints = motion_files.human()
    values = motion_files.swing(joints, frames=30)
    motion_files.write_bvh(tmp_path / "clip.bvh", joints, values)

    bones = motion_files.cmu()
    motion_files.write_asf(tmp_path / "clip.asf", bones)
    motion_files.write_amc(tmp_path / "clip.amc", bones, motion_files.swing(bones, frames=30))

Values are [T, C], the channels of the joints one after the other in the joints' order.
"""

from typing import NamedTuple

import numpy as np


class Joint(NamedTuple):
    """A joint of a file.

    `parent` is an index, -1 for a root; parents come before children. `channels` are letters in
    the file's order: xyz positions, XYZ rotations. `ends` are the offsets of its end sites (BVH).
    `axis` are the angles in degrees of its coordinate frame, in the order XYZ (ASF).
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: str = "ZXY"
    ends: tuple[tuple[float, float, float], ...] = ()
    axis: tuple[float, float, float] = (0.0, 0.0, 0.0)


# Name, parent, offset in centimetres, end site: a body of about 1.7 m in a T-pose, Y up, facing +Z.
_HUMAN = (
    ("Hips", None, (0, 95, 0), None),
    ("Spine", "Hips", (0, 10, 0), None),
    ("Spine1", "Spine", (0, 12, 0), None),
    ("Spine2", "Spine1", (0, 12, 0), None),
    ("Neck", "Spine2", (0, 16, 0), None),
    ("Head", "Neck", (0, 9, 1), (0, 18, 0)),
    *(
        (f"{side}{name}", parent and parent.format(side), (x * sign, y, z), end and end(sign))
        for side, sign in (("Left", 1), ("Right", -1))
        for name, parent, (x, y, z), end in (
            ("Shoulder", "Spine2", (5, 12, 0), None),
            ("Arm", "{}Shoulder", (13, 0, 0), None),
            ("ForeArm", "{}Arm", (28, 0, 0), None),
            ("Hand", "{}ForeArm", (25, 0, 0), lambda sign: (10 * sign, 0, 0)),
            ("UpLeg", "Hips", (9, -4, 0), None),
            ("Leg", "{}UpLeg", (0, -41, 0), None),
            ("Foot", "{}Leg", (0, -42, 0), None),
            ("ToeBase", "{}Foot", (0, -6, 14), lambda sign: (0, 0, 6)),
        )
    ),
)


def human(prefix="", scale=1.0, root_channels="xyzZXY", channels="ZXY"):
    """A human body of 22 joints, named as Mixamo's, in centimetres times `scale`."""
    names = [name for name, *_ in _HUMAN]
    return tuple(
        Joint(
            prefix + name,
            -1 if parent is None else names.index(parent),
            tuple(scale * x for x in offset),
            root_channels if parent is None else channels,
            () if end is None else (tuple(scale * x for x in end),),
        )
        for name, parent, offset, end in _HUMAN
    )


# Name, parent, reach in units of CMU, channels, axis: the left half of a body in the pose of CMU's
# skeletons, rounded from that of subject 11. The first letter of a side's bones is l or r.
_CMU = (
    ("root", None, (0, 0, 0), "xyzXYZ", (0, 0, 0)),
    ("lowerback", "root", (0, 2.06, -0.41), "XYZ", (0, 0, 0)),
    ("upperback", "lowerback", (0, 2.12, -0.02), "XYZ", (0, 0, 0)),
    ("thorax", "upperback", (0, 2.2, 0.18), "XYZ", (0, 0, 0)),
    ("lowerneck", "thorax", (0, 1.76, 0.29), "XYZ", (0, 0, 0)),
    ("upperneck", "lowerneck", (0, 1.79, -0.33), "XYZ", (0, 0, 0)),
    ("head", "upperneck", (0, 1.83, -0.15), "XYZ", (0, 0, 0)),
    ("lhipjoint", "root", (1.6, -1.84, 0.7), "", (0, 0, 0)),
    ("lfemur", "lhipjoint", (2.5, -6.8, 0), "XYZ", (0, 0, 20)),
    ("ltibia", "lfemur", (2.7, -7.4, 0), "X", (0, 0, 20)),
    ("lfoot", "ltibia", (0.17, -0.48, 1.9), "XZ", (-90, 0, 20)),
    ("ltoes", "lfoot", (0, 0, 1), "X", (-90, 0, 20)),
    ("lclavicle", "thorax", (3.3, 1.2, -0.3), "YZ", (0, 0, 0)),
    ("lhumerus", "lclavicle", (5.7, 0, 0), "XYZ", (180, -30, -90)),
    ("lradius", "lhumerus", (3.5, 0, 0), "X", (180, -30, -90)),
    ("lwrist", "lradius", (1.75, 0, 0), "Y", (0, 90, 90)),
    ("lhand", "lwrist", (0.7, 0, 0), "XZ", (0, 90, 90)),
    ("lfingers", "lhand", (0.5, 0, 0), "X", (0, 90, 90)),
    ("lthumb", "lwrist", (0.5, 0, 0.5), "XZ", (-90, 45, 0)),
)


def cmu():
    """A body of 31 bones, named and posed as CMU's; for ASF and AMC files only.

    `offset` is the reach of a bone, from its beginning at the end of its parent to its own end.
    """
    left = [row for row in _CMU if row[0][0] == "l" and not row[0].startswith("lower")]
    right = [
        (f"r{name[1:]}", f"r{parent[1:]}" if parent in dict.fromkeys(row[0] for row in left) else
         parent, (-x, y, z), channels, (a, -b, -c))
        for name, parent, (x, y, z), channels, (a, b, c) in left
    ]  # fmt: skip
    rows = (*_CMU, *right)
    names = [name for name, *_ in rows]
    return tuple(
        Joint(name, -1 if parent is None else names.index(parent), reach, channels, (), axis)
        for name, parent, reach, channels, axis in rows
    )


def swing(joints, frames, degrees=20.0, seed=0):
    """Values [T, C] of smooth rotations up to `degrees`; position channels keep the offsets."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, frames)[:, None]
    columns = []
    for joint in joints:
        for channel in joint.channels:
            if channel in "xyz":
                columns.append(np.full(frames, joint.offset["xyz".index(channel)]))
            else:
                phase = rng.uniform(0, 2 * np.pi)
                columns.append(rng.uniform(-degrees, degrees) * np.sin(time[:, 0] + phase))
    return np.stack(columns, axis=1) if columns else np.zeros((frames, 0))


def bvh_text(joints, values, frame_time="0.0333333"):
    r"""A BVH file, with \n; joints may have several roots."""
    lines = ["HIERARCHY"]
    order = []

    def add(index, depth):
        joint, tab = joints[index], "  " * depth
        order.append(index)
        lines.extend([f"{tab}{'ROOT' if joint.parent < 0 else 'JOINT'} {joint.name}", f"{tab}{{"])
        lines.append(f"{tab}  OFFSET {_row(joint.offset)}")
        names = [
            f"{letter.upper()}{'position' if letter in 'xyz' else 'rotation'}"
            for letter in joint.channels
        ]
        lines.append(" ".join([f"{tab}  CHANNELS {len(names)}", *names]))
        for end in joint.ends:
            lines.extend(
                [f"{tab}  End Site", f"{tab}  {{", f"{tab}    OFFSET {_row(end)}", f"{tab}  }}"]
            )
        for child, other in enumerate(joints):
            if other.parent == index:
                add(child, depth + 1)
        lines.append(f"{tab}}}")

    for index, joint in enumerate(joints):
        if joint.parent < 0:
            add(index, 0)
    starts = np.cumsum([0, *(len(joint.channels) for joint in joints)])
    columns = [c for i in order for c in range(starts[i], starts[i + 1])]
    values = np.asarray(values)
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {frame_time}"]
    lines += [_row(row) for row in values[:, columns]]
    return "\n".join(lines) + "\n"


def write_bvh(path, joints, values, frame_time="0.0333333", newline="\n"):
    """Writes `bvh_text` in UTF-8; returns the path."""
    text = bvh_text(joints, values, frame_time)
    path.write_bytes(text.replace("\n", newline).encode())
    return path


def asf_text(joints, length=0.45, angle="deg"):
    """An ASF file of the skeleton; the first joint is the root, and its offset is left out.

    A bone begins where its parent ends, and reaches along its offset; see `cmu`.
    """
    turn = 1.0 if angle == "deg" else np.pi / 180
    root, *others = joints
    order = " ".join(_letters(root.channels))
    lines = [":version 1.10", ":name made", ":units", "  mass 1.0", f"  length {length}"]
    lines += [f"  angle {angle}", ":root", f"  order {order}", "  axis XYZ"]
    lines += ["  position 0 0 0", f"  orientation {_row(turn * np.array(root.axis))}", ":bonedata"]
    for number, joint in enumerate(others):
        size = float(np.linalg.norm(joint.offset))
        direction = np.array(joint.offset) / (size or 1)
        lines += ["  begin", f"    id {number + 1}", f"    name {joint.name}"]
        lines += [f"    direction {_row(direction)}", f"    length {size!r}"]
        lines.append(f"    axis {_row(turn * np.array(joint.axis))} XYZ")
        if joint.channels:
            lines.append(f"    dof {' '.join(_letters(joint.channels)).lower()}")
            lines.append("    limits " + "\n           ".join(["(-180 180)"] * len(joint.channels)))
        lines.append("  end")
    lines += [":hierarchy", "  begin"]
    for index, joint in enumerate(joints):
        children = [other.name for other in joints if other.parent == index]
        if children:
            lines.append(" ".join(["   ", joint.name if index else "root", *children]))
    return "\n".join([*lines, "  end"]) + "\n"


def amc_text(joints, values, degrees=True):
    """An AMC file; values of rotations are in degrees, and written in radians if asked."""
    lines = [":FULLY-SPECIFIED", ":DEGREES" if degrees else ":RADIANS"]
    starts = np.cumsum([0, *(len(joint.channels) for joint in joints)])
    turn = np.array([letter in "XYZ" for joint in joints for letter in joint.channels])
    values = np.where(turn & (not degrees), np.radians(values), values)
    for frame, row in enumerate(values):
        lines.append(str(frame + 1))
        for index, joint in enumerate(joints):
            if joint.channels:
                part = row[starts[index] : starts[index + 1]]
                lines.append(f"{joint.name if index else 'root'} {_row(part)}")
    return "\n".join(lines) + "\n"


def write_asf(path, joints, length=0.45, angle="deg"):
    """Writes `asf_text`; returns the path."""
    path.write_text(asf_text(joints, length, angle), "utf-8")
    return path


def write_amc(path, joints, values, degrees=True):
    """Writes `amc_text`; returns the path."""
    path.write_text(amc_text(joints, values, degrees), "utf-8")
    return path


def _letters(channels):
    return [f"T{x.upper()}" if x in "xyz" else f"R{x}" for x in channels]


def _row(values):
    return " ".join(repr(float(x)) for x in values)

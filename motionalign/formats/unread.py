"""Files that people try and that are not read: what they are, and what to do instead.

Recordings of labelled sets in their published form are known by their names and first characters.
A format that comes to read one claims it, and its line here goes.
"""

import pathlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from motionalign.formats import tables


class _Recording(NamedTuple):
    """The files of a labelled set.

    Attributes:
      name: of the set.
      joints: whose they are.
      file: pattern of their names.
      start: pattern of their first characters.
    """

    name: str
    joints: str
    file: str
    start: str


_NUMBER = r"-?\d+(\.\d*)?(e[+-]?\d+)?"
_RECORDINGS = (
    _Recording(
        "MSR-Action3D",
        "20 joints of the Kinect v1",
        r"a\d+_s\d+_e\d+_skeleton(3D)?\.txt",
        rf"({_NUMBER}\s+){{3}}{_NUMBER}\s",
    ),
    _Recording(
        "UTKinect-Action3D",
        "20 joints of the Kinect v1",
        r"joints_s\d+_e\d+\.txt",
        rf"\d+(\s+{_NUMBER}){{20}}",
    ),
)

_SCENE = "is a scene of {}; export the motion from it as BVH, GLB or FBX"
_CONVERT = "is {}, which is not read; convert it to GLB or BVH, for example with Blender"
_PICTURE = (
    "is a {}, not motion; estimate poses first, for example with OpenPose or MediaPipe, whose JSON "
    "files are read"
)
_ARCHIVE = "is an archive; unpack it, and name the files in it"
_PICKLE = (
    "is a pickle, which is never read since it can run code; save its arrays with numpy.savez, "
    "with joint_names and fps"
)

# The first line of tables that scripts write of landmarks, each in columns of its own making.
_TABLE = re.compile(
    r".*(landmark|visibility|nose_?x|left_?shoulder_?x|\d+_x,\w*\d+_y)", re.IGNORECASE
)
_LANDMARKS = (
    "is a table of landmarks, whose columns each script names in its own way, and is not read; "
    "save the points [frames, 33, 3] with numpy.save and a skeleton file beside them, or the "
    "frames as MediaPipe's JSON"
)

_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".mat": (
            "is a file of MATLAB, whose variables can be anything; save its joints [frames, "
            "joints, 3] with numpy.save, and a skeleton file beside them"
        ),
        ".mvn": "is a recording of Xsens's MVN in its own format; export MVNX or BVH from MVN",
        ".tak": "is a take of OptiTrack's Motive in its own format; export CSV or BVH from Motive",
        ".trb": "is a binary file of Motion Analysis; export TRC or C3D from Cortex",
        ".mot": "has joint angles of an OpenSim model, which need the model; take the TRC file",
        ".sto": "has values of an OpenSim model, which need the model; take the TRC file",
        ".osim": "is an OpenSim model without motion; take the TRC file of the markers",
        ".blend": _SCENE.format("Blender"),
        ".ma": _SCENE.format("Maya"),
        ".mb": _SCENE.format("Maya"),
        ".max": _SCENE.format("3ds Max"),
        ".c4d": _SCENE.format("Cinema 4D"),
        ".bip": "is Biped's own format; load it in 3ds Max and export BVH or FBX",
        **dict.fromkeys((".usd", ".usda", ".usdc", ".usdz"), _CONVERT.format("a USD scene")),
        ".dae": _CONVERT.format("a COLLADA scene"),
        ".vmd": _CONVERT.format("a motion of MikuMikuDance"),
        ".vrm": (
            "is an avatar of VRM, a model without motion; animate it, for example in Blender, and "
            "export GLB or BVH"
        ),
        ".vrma": _CONVERT.format("an animation of VRM"),
        **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), _PICTURE.format("video")),
        **dict.fromkeys((".gif", ".jpg", ".jpeg", ".png"), _PICTURE.format("picture")),
        **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar"), _ARCHIVE),
        **dict.fromkeys((".pkl", ".pickle"), _PICKLE),
        ".pt": _PICKLE.replace("a pickle", "a pickle of PyTorch"),
        ".pth": _PICKLE.replace("a pickle", "a pickle of PyTorch"),
    }
)


def why(path: pathlib.Path) -> str | None:
    """What a file is that no format reads, to follow its name; None: nothing is known of it."""
    start = None
    for each in _RECORDINGS:
        if re.fullmatch(each.file, path.name, re.IGNORECASE):
            start = tables.head(path) if start is None else start
            if re.match(each.start, start):
                return (
                    f"is a recording of {each.name} ({each.joints}) in its published form, which "
                    "is not read; save the recordings of the set as one labelled .npz, or the "
                    "joints [frames, joints, 3] of this one as .npy with a skeleton file beside it"
                )
    if path.suffix.lower() == ".csv" and _TABLE.match(tables.head(path).partition("\n")[0]):
        return _LANDMARKS
    return _SUFFIXES.get(path.suffix.lower())

"""NW-UCLA's clips of skeletons, one JSON a clip, as the code of published models reads them.

    {"file_name": "a01_s01_e00_v01", "skeletons": [T, 20, 3], "label": 1}

Joints of the Kinect v1 in the camera's space, metres, y up. The name of a file says what it shows:
a class, s subject, e trial, v view (Wang et al.: Cross-view action modeling, learning and
recognition, CVPR 2014).
"""

import pathlib
import re

from motionalign import reading
from motionalign.formats import checks
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion

KINECT20 = tuple(
    "HipCenter Spine ShoulderCenter Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight "
    "ElbowRight WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight "
    "AnkleRight FootRight".split()
)
"""The joints in the order of the files, which is that of the Kinect SDK 1's JointType."""

CLASSES = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}
"""{number in the names of files: name of the paper}; the set has no 7 and 10."""

_NAME = re.compile(r"a(\d{1,4})_s(\d{1,4})_e(\d{1,4})_v(\d{1,4})")
_START = 1 << 10  # bytes that show whether a file is a clip
_CLAIMED = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"(file_name|skeletons|label)"\s*:')


def claims(path: pathlib.Path) -> bool:
    """Whether a JSON file is a clip."""
    try:
        start = reading.read_start(path, _START)
    except ValueError:
        return False
    return _CLAIMED.match(start) is not None and b'"skeletons"' in start


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the clip of a file; see `Format.read`."""
    del options
    content = reading.read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("skeletons"), list):
        raise ValueError(
            f"{path} is no clip of NW-UCLA: expected an object with skeletons, [frames, "
            f"{len(KINECT20)}, 3]"
        )
    found = checks.array(content["skeletons"])
    if found is None or found.shape != (len(found) or 1, len(KINECT20), 3):
        shape = "uneven lists" if found is None else list(found.shape)
        raise ValueError(
            f"{path}: skeletons is {shape}; expected numbers [frames, {len(KINECT20)}, 3]"
        )
    positions = checks.finite(found, f"{path}: skeletons")
    named = content.get("file_name")
    labels, notes = {}, ()
    for name in (path.stem, named if isinstance(named, str) else ""):
        if match := _NAME.fullmatch(name):
            number, subject, trial, view = map(int, match.groups())
            if number not in CLASSES:
                raise ValueError(
                    f"{path}: {name} is of class {number}; NW-UCLA has the classes "
                    f"{', '.join(map(str, CLASSES))}"
                )
            labels = {"class": CLASSES[number], "subject": subject, "view": view, "trial": trial}
            break
    else:
        notes = ("No labels: the file is not named as those of the set, a01_s01_e00_v01.json.",)
    return [
        Motion(
            name=path.stem,
            format=FORMAT.name,
            joint_names=KINECT20,
            parents=None,
            positions=positions[:, None],
            fps=30.0,
            unit_in_metres=1.0,
            up="y",
            convention="Kinect v1",
            notes=notes,
            labels=labels,
        )
    ]


FORMAT = Format(
    name="NW-UCLA",
    about="20 joints of a clip, labels of the file's name",
    suffixes=(".json",),
    read=read,
    claims=claims,
)

"""Toyota Smarthome: activities of seniors at home before seven cameras, 31 or 19 classes.

    <raw_dir>/**/Cook.Cleandishes_p02_r00_v02_c03.json     class, subject, ..., camera

https://project.inria.fr/toyotasmarthome/

Poses are those of LCR-Net (motionalign/formats/smarthome.py), of which the joints in space are
read. They are turned from the camera's axes to Y up; their unit is not published.
"""

import argparse
import dataclasses
import pathlib
import re
from typing import Any

import numpy as np

from data_prep.class_names import SMARTHOME as CLASSES
from data_prep.class_names import SMARTHOME_CV
from data_prep.protocols_ntu import SMARTHOME as BENCHMARKS
from data_prep.protocols_ntu import chosen
from data_prep.readers import Command, InvalidClip, reasons_table, recordings
from data_prep.readers.main_bodies import of_slots
from data_prep.readers.recordings import Recording, Recordings
from motionalign.conventions import to_y
from motionalign.data.resample import check_fps
from motionalign.formats import smarthome
from motionalign.skeleton import SKELETONS

SUFFIX = ".json"

_NAME = re.compile(r"([A-Za-z.]+)_p(\d{2})_r(\d{2})_v(\d{2})_c(\d{2})", re.ASCII)
_SLOTS = 2  # detections of a frame, of which one is chosen
_PAIRS = (10, 11), (4, 5)  # shoulders and hips

_ABOUT = f"""\
Toyota Smarthome: activities of 18 seniors at home, seen by seven cameras; skeletons of 13 joints.
To get them, see https://project.inria.fr/toyotasmarthome/ .

expected folder:
  RAW_DIR/**/CLASS_pSS_rRR_vVV_cCC.json     as published: subject SS, camera CC

--protocol chooses what trains, what validates and what tests, as published:
  cs    cross-subject: 9 subjects train, subjects 19 and 25 validate, 7 test; 31 classes
  cv1   cross-view: camera 1 trains, camera 5 validates, camera 2 tests; 19 classes
  cv2   cross-view: cameras 1, 3, 4, 6 and 7 train, camera 5 validates, camera 2 tests; 19 classes
Clips of the 12 other classes are no part of the cross-view protocols. The score to compare is the
mean of the classes' accuracies: top1_per_class of the evaluation.

Of the first two detections of the frames that of most motion is kept, as in published code for the
joints in space (2s-AGCN for daily living, Yang et al.); frames without it are cut. The class of a
clip, in words, is its label and its caption. The unit of the joints is not published, and kept.

examples:
  python -m data_prep smarthome --raw_dir=smarthome_skeletons --protocol=cs
  python -m data_prep smarthome --raw_dir=smarthome_skeletons --protocol=cv2 --name=smarthome_cv2

reasons for dropping a clip, as in report.json:
{reasons_table("no_body")}
"""


def parse_name(name: str) -> Recording | None:
    """What the name of a file says; None: it is none of the data set."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in CLASSES:
        return None
    return Recording(label=list(CLASSES).index(match[1]), subject=int(match[2]), view=int(match[5]))


class Smarthome(Recordings):
    """Reads Toyota Smarthome."""

    skeleton = SKELETONS["smarthome13"]
    unit_in_metres = None
    persons = 1

    def __init__(self, raw_dir: str | pathlib.Path, protocol: str, *, fps: float = 30.0) -> None:
        """Lists the files.

        Args:
          raw_dir: the folder described above.
          protocol: "cs", "cv1" or "cv2".
          fps: frames per second of the files, which do not state it.

        Raises:
          ValueError: an argument is invalid, there is no recording of the protocol, or bodies do
            not stand as they do before a camera.
        """
        benchmark = chosen(BENCHMARKS, protocol, "--protocol")
        self.source_fps = self.fps = check_fps(fps, "--fps")
        folder = recordings.find(raw_dir, SUFFIX, parse_name, "Walk_p02_r00_v01_c03")
        names = list(CLASSES)
        if benchmark.classes < len(names):
            folder, names = _of_classes(folder, SMARTHOME_CV)
        self._order = [smarthome.JOINT_NAMES.index(each) for each in self.skeleton.joint_names]
        super().__init__(folder, benchmark, [CLASSES[name] for name in names], val_share=0, seed=0)
        self.protocol = (
            f"{benchmark.title}: the score to compare is top1_per_class, the mean of the classes' "
            "accuracies"
        )
        axis, count, of = self.standing()
        if axis not in (None, "y"):
            raise ValueError(
                f"--raw_dir={raw_dir}: {count} of {of} bodies of a sample stand along {axis} when "
                f"{smarthome.UP} of the files points up, as it does in LCR-Net's; are they turned?"
            )

    def prepared(self, path: pathlib.Path) -> np.ndarray:
        """[T, 1, 13, 3] float32, Y up; raises InvalidClip if nobody is there."""
        found = smarthome.parse(path)
        # In the published code, the middles of shoulders and hips are joints that move, too.
        middles = [found.positions[:, list(pair)].mean(1, keepdims=True) for pair in _PAIRS]
        positions = np.concatenate([found.positions, *middles], axis=1)
        joints = of_slots(dataclasses.replace(found, positions=positions), _SLOTS, self.persons)
        if not len(joints):
            raise InvalidClip("no_body", f"nobody is detected in any of {found.frames} frames")
        return (joints[:, :, self._order] @ to_y(smarthome.UP).T).astype(np.float32)


def _of_classes(
    folder: recordings.Folder, names: tuple[str, ...]
) -> tuple[recordings.Folder, list[str]]:
    """The recordings of some classes, with labels among these, and the names of the classes."""
    before = list(CLASSES)
    return folder.only(
        {
            name: each.relabelled(names.index(before[each.label]))
            for name, each in folder.recordings.items()
            if before[each.label] in names
        }
    ), list(names)


def _add_options(parser: argparse.ArgumentParser) -> None:
    recordings.add_options(parser, "protocol", BENCHMARKS, None)
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second of the files, "
                        "which do not state it (default: %(default)g)")  # fmt: skip


def _source(args: argparse.Namespace) -> dict[str, Any]:
    return recordings.source(args, ("protocol", "fps"))


COMMAND = Command(
    name="smarthome",
    summary="Toyota Smarthome",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=lambda args: Smarthome(args.raw_dir, args.protocol, fps=args.fps),
    config="labelled_actions",
)

"""UAV-Human: people seen from a drone, 155 actions of 119 subjects.

    <raw_dir>/**/P070S01G10B00H10UC102000LC092000A031R0_09131758.txt

https://github.com/sutdcv/UAV-Human

Files have the layout of NTU RGB+D with 17 joints in COCO's order. The name says the subject (P),
the set-up, gender, clothes, the action (A) and the repetition. Bodies are chosen as in the
publishers' tools (main_bodies.py). Neither the unit nor the axis that points up is published; the
axis is found in the files, and clips are turned to Y up.
"""

import argparse
import pathlib
import re
from typing import Any

import numpy as np

from data_prep.class_names import UAV_HUMAN as CLASSES
from data_prep.protocols_ntu import UAV_HUMAN as BENCHMARKS
from data_prep.protocols_ntu import chosen
from data_prep.readers import Command, InvalidClip, reasons_table, recordings
from data_prep.readers.main_bodies import of_slots
from data_prep.readers.recordings import Recording, Recordings
from motionalign.conventions import AXES, to_y
from motionalign.data.resample import check_fps
from motionalign.formats import ntu_skeleton
from motionalign.skeleton import SKELETONS

SUFFIX = ".txt"

_NAME = re.compile(
    r"P(\d{1,3})S\d+G\d+B\d+H\d+UC\d+LC\d+A(\d{1,3})R\d+_\d+", re.ASCII
)  # the pattern of the publishers' tools
_SUBJECTS = 119
_SLOTS = 4  # bodies of a frame, of which the publishers' tools choose two

_ABOUT = f"""\
UAV-Human: 155 actions of 119 subjects, seen from a drone; skeletons of 17 joints. To get them, see
https://github.com/sutdcv/UAV-Human .

expected folder:
  RAW_DIR/**/PxxxSxxGxxBxxHxxUCxxxxxxLCxxxxxxAxxxRx_xxxxxxxx.txt    as published

--protocol chooses what trains and what tests: csv1 or csv2, cross-subject version 1 or 2, of which
89 of the 119 subjects train. The benchmark has no validation split: a part of the training
subjects, chosen by --val_share and --seed, becomes val.

The two bodies of most motion are kept, as in the publishers' tools; the second one is zeros where
there is none. Frames without a body are cut. The class of a clip is its label and its caption. The
unit of the joints is not published, and kept; the axis that points up is found, and clips are
turned to Y up.

examples:
  python -m data_prep uav_human --raw_dir=UAV-Human/Skeleton --protocol=csv1
  python -m data_prep uav_human --raw_dir=UAV-Human/Skeleton --protocol=csv2 --name=uav_csv2

reasons for dropping a clip, as in report.json:
{reasons_table("no_body")}
"""


def parse_name(name: str) -> Recording | None:
    """What the name of a file says; None: it is none of the data set."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    subject, action = map(int, match.groups())
    if subject >= _SUBJECTS or action >= len(CLASSES):
        return None
    return Recording(label=action, subject=subject)


class UavHuman(Recordings):
    """Reads UAV-Human."""

    skeleton = SKELETONS["uav17"]
    unit_in_metres = None

    def __init__(
        self,
        raw_dir: str | pathlib.Path,
        protocol: str,
        *,
        up: str | None = None,
        fps: float = 30.0,
        val_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        """Lists the files.

        Args:
          raw_dir: the folder described above.
          protocol: "csv1" or "csv2".
          up: the axis that points up in the files, a key of `AXES`; None: that along which most
            bodies stand in a sample of train.
          fps: frames per second of the files, which do not state it.
          val_share: of the training subjects that become val.
          seed: of the choice of val.

        Raises:
          ValueError: an argument is invalid, or there is no recording.
        """
        benchmark = chosen(BENCHMARKS, protocol, "--protocol")
        self.source_fps = self.fps = check_fps(fps, "--fps")
        example = "P070S01G10B00H10UC102000LC092000A031R0_09131758"
        folder = recordings.find(raw_dir, SUFFIX, parse_name, example)
        self._turn = to_y("y")
        super().__init__(folder, benchmark, CLASSES, val_share=val_share, seed=seed)
        if up is None:
            axis, count, of = self.standing()
            up = axis or "y"
            self.notes += (
                f"{count} of {of} bodies of a sample stand along {up}, which is taken to point up"
                if axis
                else "no body of a sample stands, and y is taken to point up: see --up",
            )
        self._turn = to_y(up)

    def joints(self, source: str) -> np.ndarray:
        """[T, 2, 17, 3] float32, Y up; zeros where a body is absent; raises InvalidClip."""
        return (super().joints(source) @ self._turn.T).astype(np.float32)

    def prepared(self, path: pathlib.Path) -> np.ndarray:
        """[T, 2, 17, 3] float32 as in the file; raises InvalidClip if nobody is there."""
        found = ntu_skeleton.parse(path, self.skeleton.num_joints)
        joints = of_slots(found, _SLOTS, self.persons)
        if not len(joints):
            raise InvalidClip("no_body", f"no body in any of {found.frames} frames")
        return joints


def _add_options(parser: argparse.ArgumentParser) -> None:
    recordings.add_options(parser, "protocol", BENCHMARKS)
    parser.add_argument("--up", choices=AXES, help="the axis that points up in the files "
                        "(default: that along which most bodies stand)")  # fmt: skip
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second of the files, "
                        "which do not state it (default: %(default)g)")  # fmt: skip


def _source(args: argparse.Namespace) -> dict[str, Any]:
    return recordings.source(args, ("protocol", "up", "fps", "val_share", "seed"))


COMMAND = Command(
    name="uav_human",
    summary="UAV-Human",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=lambda args: UavHuman(
        args.raw_dir,
        args.protocol,
        up=args.up,
        fps=args.fps,
        val_share=args.val_share,
        seed=args.seed,
    ),
    config="mocap_actions",
)

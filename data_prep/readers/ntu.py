"""NTU RGB+D and NTU RGB+D 120: one or two persons before three Kinects, 60 or 120 actions.

    <raw_dir>/**/S001C002P003R001A004.skeleton     set-up, camera, subject, repetition, action

https://rose1.ntu.edu.sg/dataset/actionRecognition/

Bodies are chosen as in the preparation of CTR-GCN (main_bodies.py), so that joints are those of the
field's results: equal to its raw_denoised_joints, in another order of joints. A clip has two
persons, and the second one is zeros where there is one only. Joints are in the camera's space.
"""

import argparse
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.class_names import NTU as CLASSES
from data_prep.protocols_ntu import NTU as BENCHMARKS
from data_prep.protocols_ntu import chosen
from data_prep.readers import Command, InvalidClip, reasons_table, recordings
from data_prep.readers.main_bodies import of_tracks
from data_prep.readers.recordings import Recording, Recordings
from motionalign.formats import ntu_skeleton
from motionalign.skeleton import SKELETONS

SUFFIX = ".skeleton"

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
_LAST_SETUP = {60: 17, 120: 32}  # by the number of classes
_CAMERAS, _SUBJECTS, _REPETITIONS = 3, 106, 2

_ABOUT = f"""\
NTU RGB+D and NTU RGB+D 120: 60 or 120 actions of one or two persons before three Kinects. To get
the skeletons, see https://github.com/shahroudy/NTURGB-D .

expected folder, of one of the data sets or both:
  RAW_DIR/**/SsssCcccPpppRrrrAaaa.skeleton     set-up, camera, subject, repetition, action

--benchmark chooses what trains and what tests:
  xsub60    NTU RGB+D, cross-subject: 20 of 40 subjects train
  xview60   NTU RGB+D, cross-view: cameras 2 and 3 train, camera 1 tests
  xsub120   NTU RGB+D 120, cross-subject: 53 of 106 subjects train
  xset120   NTU RGB+D 120, cross-setup: even set-ups train, odd ones test
The benchmarks have no validation split. A part of the training subjects, of xset120 of the training
set-ups, becomes val, chosen by --val_share and --seed.

--missing=FILE reads a published list of recordings with missing or incomplete skeletons, which the
benchmarks leave out (302 of NTU RGB+D and 535 of NTU RGB+D 120; several lists may be given):
  https://github.com/shahroudy/NTURGB-D, Matlab/NTU_RGBD_samples_with_missing_skeletons.txt
  and Matlab/NTU_RGBD120_samples_with_missing_skeletons.txt
Without a list, recordings without a body are left out.

Bodies are chosen as in the preparation of CTR-GCN. A clip has two persons; the second one is zeros
where there is none. The class of a clip is its label and its caption. Every file is parsed once;
the joints are in a temporary file meanwhile, up to 2 GB for NTU RGB+D.

examples:
  python -m data_prep ntu --raw_dir=nturgb+d_skeletons --benchmark=xsub60 --name=ntu60_xsub \\
    --missing=NTU_RGBD_samples_with_missing_skeletons.txt
  python -m data_prep ntu --raw_dir=nturgb+d_skeletons --benchmark=xset120 --name=ntu120_xset \\
    --missing=NTU_RGBD120_samples_with_missing_skeletons.txt

reasons for dropping a clip, as in report.json:
{reasons_table("no_body", "left_out")}
"""


def parse_name(name: str) -> Recording | None:
    """What a name such as S001C002P003R001A004 says; None: it is none of the data sets."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    setup, view, subject, repetition, action = map(int, match.groups())
    most = (_LAST_SETUP[120], _CAMERAS, _SUBJECTS, _REPETITIONS, len(CLASSES))
    given = (setup, view, subject, repetition, action)
    if not all(1 <= number <= last for number, last in zip(given, most)):
        return None
    return Recording(label=action - 1, subject=subject, view=view, setup=setup)


def skeleton_order() -> list[int]:
    """For each joint of skeleton ntu25 its place in the files."""
    places = {}
    for place, name in enumerate(ntu_skeleton.JOINT_NAMES):  # such as HandTipLeft
        side = next((side for side in ("Left", "Right") if name.endswith(side)), "")
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix(side)).lower()
        places[f"{side.lower()}_{words}" if side else words] = place
    return [places[name] for name in SKELETONS["ntu25"].joint_names]


class Ntu(Recordings):
    """Reads NTU RGB+D."""

    skeleton = SKELETONS["ntu25"]
    source_fps = fps = ntu_skeleton.FPS
    unit_in_metres = 1.0
    on_more = "give the published list of those with missing skeletons as --missing"

    def __init__(
        self,
        raw_dir: str | pathlib.Path,
        benchmark: str,
        missing: Sequence[str] = (),
        *,
        val_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        """Lists the files, and reads the lists of missing ones.

        Args:
          raw_dir: the folder described above.
          benchmark: "xsub60", "xview60", "xsub120" or "xset120".
          missing: paths of lists of recordings to leave out.
          val_share: of the training subjects or set-ups that become val.
          seed: of the choice of val.

        Raises:
          ValueError: an argument is invalid, or there is no recording of the benchmark.
        """
        protocol = chosen(BENCHMARKS, benchmark, "--benchmark")
        lists = recordings.read_missing(missing, parse_name, SUFFIX)
        folder = recordings.find(raw_dir, SUFFIX, parse_name, "S001C001P001R001A001")
        folder = folder.only(
            {
                name: each
                for name, each in folder.recordings.items()
                if each.label < protocol.classes and each.setup <= _LAST_SETUP[protocol.classes]
            }
        )
        self._order = skeleton_order()
        super().__init__(
            folder,
            protocol,
            CLASSES[: protocol.classes],
            val_share=val_share,
            seed=seed,
            missing=lists,
        )

    def prepared(self, path: pathlib.Path) -> np.ndarray:
        """[T, 2, 25, 3] float32 in metres; raises InvalidClip if no body is left."""
        found = ntu_skeleton.parse(path)
        joints = of_tracks(found)
        if not len(joints):
            what = f"no body in any of {found.frames} frames"
            if found.ids:
                what = f"{len(set(found.ids))} bodies, none of which lasts"
            raise InvalidClip("no_body", what)
        return joints[:, :, self._order]


def _add_options(parser: argparse.ArgumentParser) -> None:
    recordings.add_options(parser, "benchmark", BENCHMARKS, "subjects, or set-ups of xset120,")
    parser.add_argument("--missing", metavar="FILE", action="append", default=[], help="a "
                        "published list of recordings to leave out; may be given several "
                        "times")  # fmt: skip


def _source(args: argparse.Namespace) -> dict[str, Any]:
    lists = sorted(map(os.path.basename, args.missing))
    return recordings.source(args, ("benchmark", "val_share", "seed")) | {"missing": lists}


COMMAND = Command(
    name="ntu",
    summary="NTU RGB+D, NTU RGB+D 120",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=lambda args: Ntu(
        args.raw_dir, args.benchmark, args.missing, val_share=args.val_share, seed=args.seed
    ),
    config="ntu60_tokens",
)

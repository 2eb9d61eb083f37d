"""BABEL: action labels with times for the motions of AMASS (https://babel.is.tue.mpg.de).

    <raw_dir>/train.json val.json [extra_train.json extra_val.json]    annotations, version 1.0
    <amass_dir>/<feat_p>                 AMASS, "SMPL+H G": poses, trans, betas, gender, frame rate
    <smplh_dir>/<gender>/model.npz       the body models, "Extended SMPL+H model"

or, instead of AMASS and the body models,

    <joints_dir>/<feat_p without .npz>.npy     [T, 22, 3] metres, Y up, 20 fps: HumanML3D's joints

A segment is a stretch of a sequence with the action categories of one label; babel_annotations.py
reads them. There are two protocols, `PROTOCOLS`. As in the benchmark of 60 classes, segments are
cut into pieces of five seconds, the last one shorter; every pair of a piece and a category is a
record. Walk and Text cuts sequences instead, into pieces of 100 frames, and a record has all
categories of a piece. The labels of BABEL's test set are not public: our test is BABEL's val, and
our val is a tenth of BABEL's train.
"""

import argparse
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.readers import (
    SPAN_SLACK,
    Caption,
    Command,
    InvalidClip,
    Reader,
    below,
    load_joints,
    reasons_table,
)
from data_prep.readers.babel_annotations import (
    PIECE,
    annotation_files,
    piece_categories,
    pieces,
    read_annotations,
    seconds_of,
)
from motionalign import reading
from motionalign.data.resample import HUMANML3D_FPS, check_fps, nearest_frames, resample
from motionalign.formats import smplh
from motionalign.skeleton import SKELETONS

PROTOCOLS = {
    "babel": "BABEL: one category per sample",
    "walktext": "Walk and Text: any category of a piece",
}
"""{value of --protocol: name of the protocol in tables of scores}."""

# How far the length of a motion may be from the annotated one: annotations are rounded, and the
# files of --joints_dir were made from every n-th frame, so that their rate is off by up to 4 %.
DURATION_SLACK, DURATION_SHARE = 0.5, 0.05  # seconds, and share of the duration
CLASSES = pathlib.Path(__file__).parents[1] / "captions" / "babel60.json"
GENDERS = ("female", "male", "neutral")
_RATES = ("mocap_framerate", "mocap_frame_rate")

_REASONS = (
    *("label_missing", "label_unknown", "span_outside", "piece_incomplete"),
    *("wrong_body_model", "duration_differs"),
)

_ABOUT = f"""\
BABEL: action labels for AMASS, at 30 frames per second, with joints and 6D rotations. The test
split is BABEL's val; the val split is a tenth of BABEL's train, chosen by --seed. BABEL's test is
not used, because its labels are not public.

--protocol chooses how sequences become records; scores of one are not comparable with those of
the other:
  babel     the benchmark of BABEL. Every labelled segment is cut into pieces of five seconds, the
            last one shorter; every piece yields one record for each of its categories among the
            benchmark's 60. A record has one category, and is recognised if that one is predicted
  walktext  the code of Walk and Text. Every sequence is cut into pieces of {PIECE} frames; frames
            after the last piece are left out, and so are pieces without a category among the 60.
            A record has all categories of its piece: training draws one of them at random, and it
            is recognised if any of them is predicted. Where labels with times overlap, a frame has
            the categories of the one listed last

expected folders:
  RAW_DIR/train.json val.json     version 1.0, from https://babel.is.tue.mpg.de; with --extra also
                                  extra_train.json extra_val.json
  AMASS_DIR/<data set>/...npz     the unpacked archives "SMPL+H G" of https://amass.is.tue.mpg.de,
                                  e.g. AMASS_DIR/BioMotionLab_NTroje/rub060/0031_scamper1_poses.npz
  SMPLH_DIR/female/model.npz      and male/, neutral/: "Extended SMPL+H model" of
                                  https://mano.is.tue.mpg.de (both licences are personal)
or instead of the last two:
  JOINTS_DIR/<data set>/...npy    joints processed like HumanML3D's, under the names of AMASS:
                                  [frames, 22, 3], 20 frames per second, metres, Y up. They are
                                  resampled to 30 frames per second; records have no rotations

examples:
  python -m data_prep babel --raw_dir=babel_v1.0_release --amass_dir=AMASS --smplh_dir=smplh
  python -m data_prep babel --raw_dir=babel_v1.0_release --joints_dir=joints --name=babel_joints
  python -m data_prep babel --raw_dir=babel_v1.0_release --amass_dir=AMASS --smplh_dir=smplh \\
    --protocol=walktext --name=babel_walktext
  python -m data_prep babel --raw_dir=babel_v1.0_release --amass_dir=AMASS --smplh_dir=smplh \\
    --extra --labels=sequence --name=babel_sequence

reasons for dropping a sequence, a segment or a piece, as in report.json:
{reasons_table(*_REASONS)}
"""


class Babel(Reader):
    """Reads BABEL at 30 frames per second; a source is identified by its `babel_sid`."""

    skeleton = SKELETONS["smpl22"]
    unit_in_metres = 1.0
    fps = source_fps = 30.0

    def __init__(
        self,
        raw_dir: str | pathlib.Path,
        amass_dir: str | pathlib.Path | None = None,
        smplh_dir: str | pathlib.Path | None = None,
        joints_dir: str | pathlib.Path | None = None,
        *,
        extra: bool = False,
        labels: str = "segments",
        protocol: str = "babel",
        num_classes: int = 60,
        seed: int = 0,
    ) -> None:
        """Reads the annotations.

        Args:
          raw_dir: the folder of the annotations.
          amass_dir: the folder of AMASS.
          smplh_dir: the folder of the body models.
          joints_dir: the folder of joints, instead of `amass_dir` and `smplh_dir`.
          extra: whether to read the extra annotations too.
          labels: "segments": `frame_ann` if present, else `seq_ann`. "sequence": `seq_ann` only,
            the labels of complete sequences.
          protocol: a key of `PROTOCOLS`: how sequences become records.
          num_classes: use the first `num_classes` of the benchmark's 60 classes.
          seed: of the choice of the val split.

        Raises:
          ValueError: a folder or file is missing, or annotations have another form.
        """
        if labels not in ("segments", "sequence"):
            raise ValueError(f"--labels={labels}; expected segments or sequence")
        if protocol not in PROTOCOLS:
            raise ValueError(f"--protocol={protocol}; expected {' or '.join(PROTOCOLS)}")
        _check_motion_folders(amass_dir, smplh_dir, joints_dir)
        texts = reading.read_json(CLASSES)["classes"]
        if not 1 <= num_classes <= len(texts):
            raise ValueError(f"--classes={num_classes}; expected 1 to {len(texts)}")
        self._texts = dict(list(texts.items())[:num_classes])
        self.label_names = tuple(self._texts)
        self._labels = labels
        self.protocol = PROTOCOLS[protocol]
        self._captions = {"babel": self._samples, "walktext": self._pieces}[protocol]
        # Joints and rotations of a source are read in succession.
        self._clip = functools.lru_cache(maxsize=1)(self._read_clip)
        self._body = functools.cache(self._read_body)
        self._joints_dir = None if joints_dir is None else _folder("--joints_dir", joints_dir)
        self._amass_dir = None if amass_dir is None else _folder("--amass_dir", amass_dir)
        self._smplh_dir = None if smplh_dir is None else _folder("--smplh_dir", smplh_dir)
        self.num_rotations = len(smplh.ROTATED) if joints_dir is None else 0
        self._sequences = {}
        self._listed = {"train": [], "test": []}
        read = annotation_files(_folder("--raw_dir", raw_dir), extra)
        for path in read:
            self._add(path, "test" if "val" in path.name else "train")
        self._unread = sorted({*pathlib.Path(raw_dir).glob("*.json")} - {*read})
        # Sorted, so that the choice depends on the set of sequences and not on their order.
        train = sorted(self._listed["train"], key=int)
        chosen = np.random.default_rng(seed).permutation(len(train))[: len(train) // 10]
        self._val = {train[i] for i in chosen}

    def _add(self, path: pathlib.Path, split: str) -> None:
        """Adds the sequences of one file, merging the segments of known sequences."""
        for sequence in read_annotations(path):
            known = self._sequences.setdefault(sequence["name"], sequence)
            if known["feat_p"] != sequence["feat_p"]:
                raise ValueError(
                    f"{path}: babel_sid {sequence['name']} belongs to {sequence['feat_p']} here, "
                    f"and to {known['feat_p']} elsewhere"
                )
            if known is not sequence:
                known["frames"] += sequence["frames"]
                known["whole"] += sequence["whole"]
            if sequence["name"] not in self._listed[split]:
                self._listed[split].append(sequence["name"])

    def splits(self) -> dict[str, list[str]]:
        """Every `babel_sid` by split: BABEL's train without our val, our val, and BABEL's val."""
        train = self._listed["train"]
        return {
            "train": [name for name in train if name not in self._val],
            "val": [name for name in train if name in self._val],
            "test": self._listed["test"],
        }

    def unlisted(self) -> list[str]:
        """The annotation files that are not read: extra_*.json without `extra`, BABEL's test."""
        return [path.name for path in self._unread]

    def class_texts(self) -> dict[str, dict[str, list[str]]]:
        """The descriptions and synonyms that ship with the project."""
        return {
            kind: {name: texts[kind] for name, texts in self._texts.items()}
            for kind in ("descriptions", "synonyms")
        }

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """A caption per record, by the names of its categories; what is unusable comes last."""
        sequence = self._sequences[source]
        timed = self._labels == "segments" and bool(sequence["frames"])
        segments = sequence["frames" if timed else "whole"]
        if not segments:
            kind = "seq_ann" if self._labels == "sequence" else "frame_ann or seq_ann"
            raise InvalidClip("label_missing", f"no labels in {kind}")
        return self._captions(source, segments, timed)

    def _samples(
        self, source: str, segments: Sequence[tuple], timed: bool
    ) -> list[Caption | InvalidClip]:
        """BABEL's protocol: a record per piece of a segment and category."""
        dur = self._sequences[source]["dur"]
        usable, unusable = [], []
        for start, end, categories, text in segments:
            known = [name for name in categories if name in self._texts]
            where = f"{text!r}, seconds {start:g} to {end:g}"
            if not known:
                found = ", ".join(categories) or "no category"
                unusable.append(InvalidClip("label_unknown", f"{where}: {found}"))
            elif error := _outside(start, end, dur, text):
                unusable.append(error)
            else:
                usable += [
                    Caption(name, *span, self.label_names.index(name))
                    for span in pieces(start, end)
                    for name in known
                ]
        return [*dict.fromkeys(usable), *unusable]  # without duplicates, in order

    def _pieces(
        self, source: str, segments: Sequence[tuple], timed: bool
    ) -> list[Caption | InvalidClip]:
        """Walk and Text's protocol: a record per piece of the sequence, with all its categories."""
        num_frames, dur = len(self.joints(source)), self._sequences[source]["dur"]
        if num_frames < PIECE:
            raise InvalidClip(
                "too_short", f"{num_frames} frames, fewer than the {PIECE} of a piece"
            )
        unusable: list[InvalidClip] = [
            error
            for start, end, _, text in segments
            if (error := _outside(start, end, dur, text)) is not None
        ]
        inside = [each for each in segments if _outside(each[0], each[1], dur, each[3]) is None]
        of_pieces = piece_categories(inside, timed, num_frames, dur)
        usable = []
        for k, categories in enumerate(of_pieces):
            first, last = k * PIECE, (k + 1) * PIECE
            known = [(name, self.label_names.index(name)) for name in categories
                     if name in self._texts]  # fmt: skip
            if known:
                (text, label), *more = known
                span = (seconds_of(first, self.fps), seconds_of(last, self.fps))
                usable.append(Caption(text, *span, label, tuple(more)))
            else:
                found = ", ".join(categories) or "no category"
                detail = f"frames {first} to {last - 1}: {found}"
                unusable.append(InvalidClip("label_unknown", detail))
        if rest := num_frames % PIECE:
            detail = f"the last {rest} of {num_frames} frames, fewer than the {PIECE} of a piece"
            unusable.append(InvalidClip("piece_incomplete", detail))
        return [*usable, *unusable]

    def joints(self, source: str) -> np.ndarray:
        """[T, 1, 22, 3] float32 in metres at 30 frames per second; raises InvalidClip."""
        return self._clip(source)[0][:, None]

    def rotations(self, source: str) -> np.ndarray:
        """[T, 1, 24, 6] float32 of the same frames, from AMASS only; raises InvalidClip."""
        rotations = self._clip(source)[1]
        assert rotations is not None  # otherwise `num_rotations` is 0
        return rotations[:, None]

    def _read_clip(self, source: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Joints [T, 22, 3] and rotations [T, 24, 6] or None, at 30 fps; raises InvalidClip."""
        feat_p, dur = (self._sequences[source][key] for key in ("feat_p", "dur"))
        if self._joints_dir is not None:
            return self._processed(feat_p, dur), None
        return self._posed(feat_p, dur)

    def _processed(self, feat_p: str, dur: float) -> np.ndarray:
        assert self._joints_dir is not None
        file = _find(self._joints_dir, feat_p.removesuffix(".npz") + ".npy")
        joints = load_joints(self._joints_dir, file, smplh.NUM_BODY)
        _check_duration(len(joints), HUMANML3D_FPS, dur, file)
        if len(joints) < 2:  # too short to interpolate
            return joints
        return resample(joints, HUMANML3D_FPS, self.fps)

    def _posed(self, feat_p: str, dur: float) -> tuple[np.ndarray, np.ndarray]:
        assert self._amass_dir is not None
        file = _find(self._amass_dir, feat_p)
        arrays, gender, rate = _read_amass(self._amass_dir, file)
        for name, array in arrays.items():
            if array.dtype.kind not in "fiu" or array.ndim != (1 if name == "betas" else 2):
                raise InvalidClip(
                    "wrong_shape", f"{file}: {name} is {array.dtype} {[*array.shape]}"
                )
            if not np.isfinite(array).all():
                raise InvalidClip("not_finite", f"{file}: NaN or infinity in {name}")
        poses, trans = arrays["poses"], arrays["trans"]
        if len(poses) != len(trans):
            detail = f"{file}: {len(poses)} frames of poses, {len(trans)} of trans"
            raise InvalidClip("wrong_shape", detail)
        frames = nearest_frames(len(poses), rate, self.fps)
        body = self._body(gender)
        try:
            posed = smplh.pose_clip(body, poses[frames], trans[frames], arrays["betas"])
        except ValueError as error:
            raise InvalidClip("wrong_shape", f"{file}: {error}") from error
        _check_duration(len(poses), rate, dur, file)
        return posed

    def _read_body(self, gender: str) -> smplh.SMPLH:
        assert self._smplh_dir is not None
        path = self._smplh_dir / gender / "model.npz"
        if not path.is_file():
            raise ValueError(
                f"no body model {path}, which the {gender} clips of AMASS need. Get "
                '"Extended SMPL+H model" from https://mano.is.tue.mpg.de'
            )
        return smplh.SMPLH.read(path)


def _outside(start: float, end: float, dur: float, text: str) -> InvalidClip | None:
    """Why a label's times cannot be those of a sequence of `dur` seconds; None: they can."""
    if 0 <= start < end <= dur + SPAN_SLACK:
        return None
    where = f"{text!r}, seconds {start:g} to {end:g}"
    return InvalidClip("span_outside", f"{where} of a sequence of {dur:g} seconds")


def _check_motion_folders(
    amass_dir: pathlib.Path | str | None,
    smplh_dir: pathlib.Path | str | None,
    joints_dir: pathlib.Path | str | None,
) -> None:
    """Raises ValueError unless either AMASS and body models, or joints are given."""
    if joints_dir is not None and (amass_dir is not None or smplh_dir is not None):
        raise ValueError(
            "--joints_dir replaces --amass_dir and --smplh_dir, and cannot be combined with them"
        )
    if joints_dir is None and (amass_dir is None or smplh_dir is None):
        raise ValueError(
            "BABEL consists of annotations only; for its motions, give --amass_dir and "
            "--smplh_dir, or --joints_dir"
        )


def _folder(option: str, path: str | pathlib.Path) -> pathlib.Path:
    if not pathlib.Path(path).is_dir():
        raise ValueError(f"{option}={path} is not a folder")
    return pathlib.Path(path)


def _find(folder: pathlib.Path, file: str) -> str:
    """Finds `file`, with or without its first folder.

    BABEL's paths start with the name of the data set twice, the unpacked archives do not.
    """
    places = [place for place in (file, file.partition("/")[2]) if place]
    for place in places:
        if os.path.isfile(folder / place):  # False for names that no file can have
            return place
    for place in places:
        other = place.removesuffix("_poses.npz") + smplh.SMPLX_SUFFIX
        if (folder / other).is_file():
            detail = f"no file {place}, only {other}, an archive of SMPL-X. {smplh.GET_SMPLH}"
            raise InvalidClip("wrong_body_model", detail)
    raise InvalidClip("motion_missing", f"no file {' or '.join(places)}")


def _check_duration(num_frames: int, rate: float, dur: float, file: str) -> None:
    """Raises InvalidClip unless a motion lasts `dur` seconds: its labels' times would be wrong."""
    seconds = num_frames / rate
    if abs(seconds - dur) > max(DURATION_SLACK, DURATION_SHARE * dur):
        detail = (
            f"{file}: {num_frames} frames at {rate:g} a second are {seconds:g} seconds; BABEL "
            f'states "dur" {dur:g}'
        )
        raise InvalidClip("duration_differs", detail)


def _read_amass(folder: pathlib.Path, file: str) -> tuple[dict[str, np.ndarray], str, float]:
    """poses, trans and betas, the gender, and frames a second; raises InvalidClip."""
    try:
        stored = reading.open_arrays(folder / file)
        model = None
        if "surface_model_type" in stored:
            model = str(stored["surface_model_type"].read())
        smplh.check_body_model(file, model, stored["poses"].shape if "poses" in stored else ())
        # Newer files use the key mocap_frame_rate.
        rate_name = next((name for name in _RATES if name in stored), _RATES[-1])
        names = ("poses", "trans", "betas", "gender", rate_name)
        arrays = reading.read_arrays(folder / file, names)
    except smplh.WrongBodyModel as error:
        raise InvalidClip("wrong_body_model", str(error)) from error
    except ValueError as error:
        raise InvalidClip("motion_unreadable", below(folder, error)) from error
    gender, rate = arrays.pop("gender"), arrays.pop(rate_name)
    gender = gender.item() if gender.size == 1 else gender.tolist()
    gender = gender.decode(errors="replace") if isinstance(gender, bytes) else gender
    if gender not in GENDERS:
        raise InvalidClip("motion_unreadable", f"{file}: gender {gender!r}, none of {GENDERS}")
    if rate.size != 1 or rate.dtype.kind not in "fiu":
        raise InvalidClip("motion_unreadable", f"{file}: {rate_name} is {rate.tolist()}")
    try:
        return arrays, gender, check_fps(float(rate.item()), f"{file}: {rate_name}")
    except ValueError as error:
        raise InvalidClip("motion_unreadable", str(error)) from error


_FOLDERS = ("raw_dir", "amass_dir", "smplh_dir", "joints_dir")  # options


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw_dir", required=True, help="the folder of the annotations")
    parser.add_argument("--amass_dir", help="the folder of AMASS")
    parser.add_argument("--smplh_dir", help="the folder of the body models")
    parser.add_argument("--joints_dir", help="the folder of joints, instead of AMASS and the body "
                        "models")  # fmt: skip
    parser.add_argument("--extra", action="store_true", help="also read extra_train and extra_val")
    parser.add_argument("--labels", choices=("segments", "sequence"), default="segments",
                        help="segments: labels with times if a sequence has any, else its labels "
                        "without times; sequence: labels without times only "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default="babel",
                        help="babel: pieces of five seconds of a segment, one category each; "
                        f"walktext: pieces of {PIECE} frames of a sequence, with all categories "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--classes", type=int, default=60, help="use this many of the benchmark's "
                        "60 classes, from the first (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of val "
                        "(default: %(default)s)")  # fmt: skip


def _folders(args: argparse.Namespace) -> dict[str, Any]:
    """The given folders, by the name of their option."""
    return {name: getattr(args, name) for name in _FOLDERS if getattr(args, name) is not None}


def _options(args: argparse.Namespace) -> dict[str, Any]:
    names = ("extra", "labels", "protocol", "seed")
    return {name: getattr(args, name) for name in names}


def _source(args: argparse.Namespace) -> dict:
    folders = {name: os.path.abspath(path) for name, path in _folders(args).items()}
    return {**folders, **_options(args), "classes": args.classes}


COMMAND = Command(
    name="babel",
    summary="BABEL",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=lambda args: Babel(**_folders(args), **_options(args), num_classes=args.classes),
    config="babel60_gaitformer",
    paths=_FOLDERS,
)

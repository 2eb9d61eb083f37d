"""`python -m data_prep export_humanml3d`: motion files as a folder in HumanML3D's layout."""

import argparse
import dataclasses
import os
import pathlib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from data_prep import splits
from data_prep.told import add_told, told_of
from motionalign import conventions, files, reading

if TYPE_CHECKING:
    from data_prep.readers import Reader
    from data_prep.survey import Source, Survey

SUMMARY = "motion files in HumanML3D's layout, for motion generators"
ABOUT = """\
Writes a folder in HumanML3D's layout, which most generators of motion from text are trained on,
from motion files of any format, or from a folder that has new_joints alone.

  OUT/new_joints/<name>.npy       [frames, 22, 3] float32: SMPL's joints in metres, Y up, 20 frames
                                  per second, first on the vertical axis and facing +Z, the lowest
                                  point at Y = 0
  OUT/new_joint_vecs/<name>.npy   [frames - 1, 263] float32: HumanML3D's values of the same joints
  OUT/texts/<name>.txt            one caption per line: caption#tokens#start#end
  OUT/train.txt val.txt test.txt  one name per line; also train_val.txt and all.txt
  OUT/Mean.npy Std.npy            [263] float32 of new_joint_vecs, as HumanML3D computes them
  OUT/report.json                 what was left out, and why

DIR is a folder of motion files: joints, unit, axes and frame rate are found in them, and
`python -m data_prep inspect DIR` shows what was found. Every person of every take becomes a clip.
If DIR has new_joints and texts, it is read as HumanML3D's own layout, with its captions and splits.

bodies: HumanML3D gives all of its clips the bones of one of them, and models that are trained on it
expect these. --target=CLIP does so: CLIP is a motion file whose first frame has the bones to take,
such as HumanML3D/new_joints/000021.npy. Without it, every body keeps its own bones.

tokens: the words of the caption with the tag OTHER, since tags of parts of speech need a parser.
Models that read captions alone do not use them. Those of a DIR in HumanML3D's layout are kept.

examples:
  python -m data_prep export_humanml3d mocap exported --captions=names
  python -m data_prep export_humanml3d mocap exported --captions=mocap/captions.csv --mirror \\
    --target=HumanML3D/new_joints/000021.npy
  python -m data_prep export_humanml3d my_clips exported        a folder with new_joints and texts
"""

_SHORTEST, _LONGEST = 40, 200  # frames of the clips that generators train on, by the first of them

_LONGEST_NAME = 200  # bytes; file systems allow 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m data_prep export_humanml3d`."""
    parser.add_argument("dir", metavar="DIR", help="folder of motion files, or one file with "
                        "many clips")  # fmt: skip
    parser.add_argument("out", metavar="OUT", help="folder to write, which must not exist yet")
    parser.add_argument("--captions", metavar="FILE.csv|names|labels", help="where captions come "
                        "from: `python -m data_prep library --help` describes all three (default: "
                        "DIR/captions.csv, or DIR/texts)")  # fmt: skip
    parser.add_argument("--label", metavar="COLUMN", help="the label that is the caption, for "
                        "--captions=labels")  # fmt: skip
    parser.add_argument("--split", metavar="TRAIN,VAL,TEST", help="shares of the clips (default: "
                        "80,10,10, or the split files of DIR)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the choice of clips (default: 0)")
    parser.add_argument("--split_by", metavar="COLUMN", help="label whose clips with one value "
                        "stay in one split, or file or folder")  # fmt: skip
    parser.add_argument("--target", metavar="CLIP", help="motion file with the bones that all "
                        "bodies get (default: their own)")  # fmt: skip
    parser.add_argument("--mirror", action="store_true", help="also write every clip's mirror "
                        "image as M<name>, with left and right swapped in its captions"
                        )  # fmt: skip
    parser.add_argument("--min_frames", type=int, default=2, help="leave out clips with fewer "
                        "frames (default: %(default)s)")  # fmt: skip
    parser.add_argument("--fps", type=float, help="frames per second of the files that state none")
    reasons = ", ".join(conventions.REASONS)
    parser.add_argument("--accept", metavar="REASON[,REASON...]", default="", help="keep clips "
                        f"that would be left out for these reasons: {reasons}")  # fmt: skip
    parser.add_argument("--sensor", choices=conventions.SENSORS, help="depth: joints of depth "
                        "cameras or from video may shake (default: depth if there are markers or "
                        "keypoints)")  # fmt: skip
    add_told(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the folder that the arguments describe."""
    _check(args)
    from data_prep.survey import survey

    target = None if args.target is None else _bones_of(args)
    reader = _reader(args)
    for note in reader.notes:
        print(note)
    accept = [reason.strip() for reason in args.accept.split(",") if reason.strip()]
    found = survey(reader, args.min_frames, args.mirror, accept)
    with files.new_folder(args.out) as folder:
        made = _write(folder, reader, found, target, args)
    for line in (found.table(), *_summary(made, args, reader.sensor)):
        print(line)


def _check(args: argparse.Namespace) -> None:
    """Raises a ValueError for arguments that cannot be, before anything is read."""
    from data_prep.readers.library import LABELS
    from motionalign.data.resample import check_fps

    if not os.path.exists(args.dir):
        raise ValueError(
            f"{args.dir} does not exist; expected a folder of motion files, or a file with many "
            "clips"
        )
    if os.path.exists(args.out):
        raise ValueError(f"{args.out} already exists; choose another folder, or remove it")
    inside = os.path.realpath(args.dir) + os.sep
    if os.path.realpath(args.out).startswith(inside):
        raise ValueError(
            f"{args.out} is inside {args.dir}: the next command that reads {args.dir} would take "
            "the exported clips for motion files of yours. Choose a folder elsewhere"
        )
    files.check_place(args.out, args.out)
    if args.min_frames < 2:
        raise ValueError(
            f"--min_frames={args.min_frames}; expected at least 2, as values are of two frames"
        )
    if args.fps is not None:
        check_fps(args.fps, "--fps")
    if args.label and args.captions != LABELS:
        raise ValueError(f"--label={args.label} needs --captions={LABELS}")


# ---------------------------------------------------------------------------- input


def _reader(args: argparse.Namespace) -> "Reader":
    """The reader of the folder."""
    from data_prep.readers import humanml3d, library
    from data_prep.splits import SPLITS, SplitPlan, parse_shares

    folder = pathlib.Path(args.dir)
    joints = folder / "new_joints"
    own = joints.is_dir() and (folder / "texts").is_dir() and args.captions is None
    there = [split for split in SPLITS if (folder / f"{split}.txt").is_file()]
    if there and args.split is not None:
        raise ValueError(
            f"--split makes splits, but {folder} has {_listed(there)}: leave out --split to use "
            "these, or move them away"
        )
    if there and len(there) < len(SPLITS):
        missing = [split for split in SPLITS if split not in there]
        raise ValueError(f"{folder} has split files, but no {_listed(missing)}")
    shares = parse_shares(args.split or "80,10,10")
    plan = None if there else SplitPlan(shares, args.seed, args.split_by)
    if own:
        for name in ("skeleton", "smplh_dir"):
            if getattr(args, name):
                raise ValueError(
                    f"--{name} is for motion files, and {folder} has HumanML3D's layout (new_joints"
                    " and texts)"
                )
        declared = conventions.Declared(args.unit, args.up or "y")
        rate, sensor = args.fps or library.FPS, args.sensor or "optical"
        return humanml3d.HumanML3D(
            folder, rate, split=plan, declared=declared, canonical=True, sensor=sensor
        )
    alone = joints.is_dir() and not there
    table = folder / library.TABLE
    captions = str(table) if alone and args.captions is None and table.is_file() else args.captions
    return library.Library(
        joints if alone else folder,
        captions,
        told=told_of(args),
        plan=plan,
        label=args.label,
        sensor=args.sensor,
    )


def _listed(split_names: Iterable[str]) -> str:
    return ", ".join(f"{split}.txt" for split in split_names)


def _bones_of(args: argparse.Namespace) -> np.ndarray:
    """The bones of the target clip, [22, 3].

    Raises:
      ValueError: the clip cannot be read, or is no human body of human size.
    """
    from motionalign.anatomy import humanml3d, require_human, smpl22
    from motionalign.anatomy.takes import Told, read_takes

    # What is said of the files need not hold for the target, such as their unit.
    take = read_takes(args.target, Told(smplh_dir=args.smplh_dir))[0]
    require_human(take.body, f"--target={args.target}")
    made = smpl22(take.motion, take.body)
    person = made.points.persons[0]
    joints = made.joints[made.points.present[:, person], person]
    found = conventions.measure(joints, humanml3d.SKELETON)
    accept = {*conventions.REASONS} - {"unit_implausible", "order_implausible"}
    if finding := conventions.implausible(found, sensor=take.body.sensor, accept=accept):
        raise ValueError(f"--target={args.target}: its bones cannot be taken: {finding.detail}")
    return humanml3d.target_offsets(joints)


# ---------------------------------------------------------------------------- output


@dataclasses.dataclass
class _Made:
    """What was written.

    Attributes:
      names: {id of a source: name of its files}.
      frames: of every clip.
      constant: the groups of values whose deviation is 0.
    """

    names: dict[str, str] = dataclasses.field(default_factory=dict)
    frames: list[int] = dataclasses.field(default_factory=list)
    constant: list[str] = dataclasses.field(default_factory=list)


def _write(
    folder: pathlib.Path,
    reader: "Reader",
    found: "Survey",
    target: np.ndarray | None,
    args: argparse.Namespace,
) -> _Made:
    """Writes all files of the layout to a folder."""
    from motionalign.anatomy import humanml3d

    statistics = humanml3d.Statistics()
    tokens = _tokens_of(reader)
    made = _Made(_names(found.sources))
    for source in tqdm(found.sources, desc="writing", unit=" clips", disable=None):
        name = made.names[source.id]
        joints = _joints(source, reader, target)
        values = humanml3d.features(joints)
        statistics.add(values)
        files.write_array(folder / "new_joints" / f"{name}.npy", joints)
        files.write_array(folder / "new_joint_vecs" / f"{name}.npy", values)
        text = "".join(f"{line}\n" for line in _lines(source, tokens))
        files.write_text(folder / "texts" / f"{name}.txt", text)
        made.frames.append(len(joints))
    files.write_array(folder / "Mean.npy", statistics.mean())
    std = statistics.std()
    files.write_array(folder / "Std.npy", std)
    made.constant = [name for name, group in humanml3d.GROUPS.items() if not std[group].all()]
    _write_splits(folder, found, made)
    files.write_json(folder / "report.json", _report(found, made, args))
    return made


def _joints(source: "Source", reader: "Reader", target: np.ndarray | None) -> np.ndarray:
    """The joints of a clip as they are written, [T, 22, 3] float32."""
    from motionalign.anatomy import humanml3d
    from motionalign.data.resample import resample

    joints = reader.joints(source.raw)[:, 0].astype(np.float64)
    # As HumanML3D does: mirrored first, so that both get the bones of the target.
    joints = reader.skeleton.mirrored(joints) if source.reflect else joints
    joints = resample(joints, reader.source_fps, humanml3d.FPS)
    if target is not None:
        joints = humanml3d.uniform_skeleton(joints, target)
    return conventions.canonical(joints, reader.skeleton).astype(np.float32)


def _write_splits(folder: pathlib.Path, found: "Survey", made: _Made) -> None:
    """Writes the files that list the names."""
    names = {split: [made.names[source.id] for source in found.of_split(split)]
             for split in splits.SPLITS}  # fmt: skip
    names["train_val"] = names["train"] + names["val"]
    names["all"] = names["train_val"] + names["test"]
    for split, of_split in names.items():
        files.write_text(folder / f"{split}.txt", "".join(f"{name}\n" for name in of_split))


def _report(found: "Survey", made: _Made, args: argparse.Namespace) -> dict[str, Any]:
    """The content of report.json."""
    given = {
        name: value
        for name, value in vars(args).items()
        if value not in (None, "", False) and name not in ("run", "out", "traceback")
    }
    renamed = {source: name for source, name in made.names.items() if source != name}
    return {
        "options": given | {"dir": os.path.abspath(args.dir)},
        **found.report(),
        "renamed": renamed,
    }


def _summary(made: _Made, args: argparse.Namespace, sensor: str) -> Iterable[str]:
    """What is said at the end."""
    frames = np.array(made.frames)
    yield f"wrote {args.out}: {len(frames)} clips, {frames.sum() / 20 / 60:.1f} minutes"
    outside = int(((frames <= _SHORTEST) | (frames > _LONGEST)).sum())
    if outside:
        yield (
            f"{outside} clips have {_SHORTEST} frames or fewer, or more than {_LONGEST} (2 and 10 "
            "s): the loaders of most generators skip these"
        )
    if made.constant:
        yield (
            f"warning: {', '.join(made.constant)} are the same in all frames, so that Std.npy is 0 "
            "there, and values over it are no numbers: export more, or other, clips"
        )
    if args.target is None:
        yield (
            "every body keeps its own bones; for models that are trained on HumanML3D, give all "
            "of them its bones: --target=HumanML3D/new_joints/000021.npy"
        )
    yield ""
    yield "Next:"
    # Judged as here: the checks of conventions allow joints of depth cameras to shake.
    judged = f" --sensor={sensor}" if sensor != "optical" else ""
    yield f"  python -m data_prep humanml3d --raw_dir={shlex.quote(args.out)} --name=mine{judged}"


# ---------------------------------------------------------------------------- names and texts


def _names(sources: Iterable["Source"]) -> dict[str, str]:
    """{id: name of its files}: no folders, no spaces, and different on every file system.

    The mirror image of NAME is MNAME.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    sources = list(sources)
    prefixes = ("", "m") if any(source.reflect for source in sources) else ("",)
    for source in sources:
        if source.reflect:  # after its original
            names[source.id] = "M" + names[source.raw]
            continue
        plain = re.sub(r"[/\\#\s]+", "_", source.id).strip("_") or "clip"
        plain = plain.encode()[:_LONGEST_NAME].decode(errors="ignore")
        name, number = plain, 1
        while taken & {prefix + name.casefold() for prefix in prefixes}:
            number += 1
            name = f"{plain}_{number}"
        taken |= {prefix + name.casefold() for prefix in prefixes}
        names[source.id] = name
    return names


def _lines(source: "Source", tokens: Callable[["Source", str], str]) -> Iterable[str]:
    """The lines of a clip's text file."""
    for record in sorted(source.records, key=lambda record: record.first_line):
        start, end = record.span
        for caption in record.captions:
            words = " ".join(caption.replace("#", " ").split())
            yield f"{words}#{tokens(source, caption)}#{start}#{end}"


def _plain_tokens(caption: str) -> str:
    """The words of a caption with the tag OTHER, in HumanML3D's form."""
    words = re.findall(r"[^\W\d_]+", caption.lower().replace("-", ""))
    return " ".join(f"{word}/OTHER" for word in words)


def _tokens_of(reader: "Reader") -> Callable[["Source", str], str]:
    """A function from a source and a caption of it to its tokens: its file's, where it has any."""
    from data_prep.mirror import mirrored_caption

    folder = pathlib.Path(getattr(reader, "raw_dir", "")) / "texts"
    known: Mapping[str, str] = {}
    last = ""

    def tokens(source: "Source", caption: str) -> str:
        nonlocal known, last
        if source.raw != last:
            known, last = _tokens_in(folder / f"{source.raw}.txt"), source.raw
        for text, of_text in known.items():
            if source.reflect and mirrored_caption(text) == caption:
                return mirrored_caption(of_text)
            if not source.reflect and text == caption:
                return of_text
        return _plain_tokens(caption)

    return tokens


def _tokens_in(path: pathlib.Path) -> Mapping[str, str]:
    """{caption: tokens} of a text file in HumanML3D's layout; empty without one."""
    if not path.is_file():
        return {}
    rows = [line.split("#") for line in reading.read_text(path).split("\n")]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 4 and row[1].strip()}

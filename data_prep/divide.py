"""Divides the clips of a labelled set by a protocol: train, val, test, and unseen classes.

What the protocol does not say is ours, and is stated in the dataset: val is a part of the training
subjects, so that no model is chosen by its score on the test, and classes that are left out form
the split `unseen`.
"""

import argparse
import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.protocols import (
    Protocol,
    check_share,
    drawn_classes,
    held_out,
    held_out_clips,
    ordered,
)
from data_prep.readers import label_table

SPLITS = ("train", "val", "test", "unseen")

VAL_SHARE = 0.1  # default; ours

# Of the training part one subject may be at most this share, or val is made of clips; ours.
_LARGEST = 0.2

SUBJECTS, CLIPS = "subjects", "clips"


@dataclasses.dataclass(frozen=True)
class Clip:
    """What a protocol may divide a clip by.

    Attributes:
      group: its value of `Protocol.by`.
      subject: who is seen; None: not known.
      label: its class.
      copy_of: a key of its joints: clips with one key are copies.
    """

    group: int | str
    subject: int | str | None
    label: int
    copy_of: bytes


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a protocol leaves open.

    Attributes:
      val_share: of the training subjects, or clips, that become val.
      val_by: `SUBJECTS` or `CLIPS`; None: subjects, unless one of them is more than a fifth.
      val_subjects: the subjects of val, instead of a share.
      seed: of the choice of val.
      leave_out: a number of classes, or their names; 0 or (): none.
      draw: which draw, from 0, if `leave_out` is a number.
      drop_copies: whether copies of test clips leave train and val.
    """

    val_share: float = VAL_SHARE
    val_by: str | None = None
    val_subjects: tuple[int | str, ...] = ()
    seed: int = 0
    leave_out: int | tuple[str, ...] = 0
    draw: int | None = None
    drop_copies: bool = False


@dataclasses.dataclass(frozen=True)
class Division:
    """The splits of a set.

    Attributes:
      splits: {split: names}; `unseen` only if classes are left out.
      unused: names in no split.
      left_out: classes without clips in train and val.
      protocol: what was done, in a line, for tables of scores.
      notes: messages for the user.
      made: how, for report.json.
    """

    splits: Mapping[str, list[str]]
    unused: list[str]
    left_out: tuple[str, ...]
    protocol: str
    notes: tuple[str, ...]
    made: Mapping[str, Any]


def divide(
    clips: Mapping[str, Clip],
    protocol: Protocol,
    choice: Choice,
    names: Sequence[str],
    where: str,
) -> Division:
    """Divides clips.

    Args:
      clips: {name: clip}.
      protocol: which train and which test; without folds.
      choice: what the protocol leaves open.
      names: of the classes, by label.
      where: the set, for messages.

    Raises:
      ValueError: the set lacks what the protocol needs, or the choice does not fit it.
    """
    parts = _parts(clips, protocol, where)
    left_out = _left_out(choice, names)
    split_of, notes = {}, []
    for name, clip in clips.items():
        part, out = parts[name], names[clip.label] in left_out
        split_of[name] = {"test": "unseen", "train": ""}.get(part, part) if out else part
    if choice.drop_copies:
        notes += _drop_copies(clips, split_of)
    val, said = _validation(clips, split_of, choice, where)
    notes += said
    for name in val:
        split_of[name] = "val"
    if left_out:
        counts = collections.Counter(split_of[n] for n, c in clips.items()
                                     if names[c.label] in left_out and parts[n])  # fmt: skip
        notes.append(
            f"Left out of train and val: {', '.join(left_out)}. Their {counts['unseen']} test "
            f"clips are the split unseen; their {counts['']} training clips are in no split."
        )
    splits = {s: [] for s in SPLITS if s != "unseen" or left_out}
    for name, split in split_of.items():
        if split:
            splits[split].append(name)
    unused = [name for name, split in split_of.items() if not split]
    if others := [name for name in unused if not parts[name]]:
        notes.append(f"{len(others)} clips are of neither part: {', '.join(others[:3])}, ...")
    made = _made(clips, protocol, choice, left_out, split_of)
    return Division(splits, unused, left_out, _line(made), tuple(notes), made)


def _parts(clips: Mapping[str, Clip], protocol: Protocol, where: str) -> dict[str, str]:
    """Whether the protocol has each clip in train or test; "" if in none."""
    there = {clip.group for clip in clips.values()}
    if missing := ordered({*protocol.train, *protocol.test} - there):
        raise ValueError(
            f"{protocol.title} needs clips of {protocol.by} {_listed(missing)}, and {where} has "
            f"none; it has {_listed(ordered(there))}"
        )
    test = dict.fromkeys(protocol.test, "test")
    part_of = dict.fromkeys(protocol.train, "train") | test
    if protocol.rest_tests:
        part_of = dict.fromkeys(there, "test") | part_of
    parts = {name: part_of.get(clip.group, "") for name, clip in clips.items()}
    for part in ("train", "test"):
        if part not in parts.values():
            raise ValueError(f"{protocol.title}: no clip of {where} is left for {part}")
    return parts


def _left_out(choice: Choice, names: Sequence[str]) -> tuple[str, ...]:
    """The classes that are left out."""
    if not choice.leave_out:
        if choice.draw is not None:
            raise ValueError(f"--draw={choice.draw} is about --leave_out: give a number of classes")
        return ()
    if isinstance(choice.leave_out, int):
        return drawn_classes(names, choice.leave_out, choice.draw or 0)
    if choice.draw is not None:
        raise ValueError(f"--draw={choice.draw} draws classes, and --leave_out names them")
    if unknown := [name for name in choice.leave_out if name not in names]:
        raise ValueError(f"--leave_out: no class {unknown[0]!r}; expected of {', '.join(names)}")
    if len(set(choice.leave_out)) > len(names) - 2:
        raise ValueError("--leave_out must leave at least two classes")
    return tuple(name for name in names if name in choice.leave_out)


def _drop_copies(clips: Mapping[str, Clip], split_of: dict[str, str]) -> list[str]:
    """Takes copies of test clips out of train; returns a note."""
    tested = {clips[name].copy_of for name, split in split_of.items()
              if split in ("test", "unseen")}  # fmt: skip
    copies = [name for name, split in split_of.items()
              if split == "train" and clips[name].copy_of in tested]  # fmt: skip
    for name in copies:
        split_of[name] = ""
    return [f"--drop_copies: {len(copies)} training clips have the same joints as a test clip, and "
            "are in no split."]  # fmt: skip


def _validation(
    clips: Mapping[str, Clip], split_of: Mapping[str, str], choice: Choice, where: str
) -> tuple[list[str], list[str]]:
    """The training clips that become val, and a note."""
    training = {name: clips[name] for name, split in split_of.items() if split == "train"}
    subjects = ordered({c.subject for c in training.values() if c.subject is not None})
    whole = all(clip.subject is not None for clip in training.values()) and subjects
    if choice.val_subjects:
        if unknown := [s for s in choice.val_subjects if s not in subjects]:
            raise ValueError(
                f"--val_subjects: {unknown[0]} has no training clip; the training clips of {where} "
                f"are of {_listed(subjects) or 'unknown subjects'}"
            )
        if len(set(choice.val_subjects)) == len(subjects):
            raise ValueError("--val_subjects are all training subjects; none is left for train")
        chosen = choice.val_subjects
    elif not check_share(choice.val_share):
        return [], ["--val_share=0: val has no clips, so that no checkpoint can be selected."]
    else:
        by = choice.val_by
        if by == SUBJECTS and not whole:
            raise ValueError(f"--val_by=subjects: {where} does not say of whom all clips are")
        if by is None:
            by = SUBJECTS if whole and _LARGEST * len(subjects) >= 1 else CLIPS
        if by == CLIPS:
            labels = {name: clip.label for name, clip in training.items()}
            val = sorted(held_out_clips(labels, choice.val_share, choice.seed))
            note = (
                f"No published validation split: {len(val)} of {len(training)} training clips, of "
                f"every class, are val (ours; seed {choice.seed})"
            )
            if choice.val_by is None and whole:
                note += f"; a whole subject would be 1 of {len(subjects)}"
            return val, [f"{note}."]
        chosen = held_out(subjects, choice.val_share, choice.seed)
    val = [name for name, clip in training.items() if clip.subject in chosen]
    return val, [
        f"No published validation split: the {len(val)} training clips of subject "
        f"{_listed(chosen)}, {len(set(chosen))} of {len(subjects)}, are val (ours"
        + (")." if choice.val_subjects else f"; seed {choice.seed}).")
    ]


def _made(
    clips: Mapping[str, Clip],
    protocol: Protocol,
    choice: Choice,
    left_out: Sequence[str],
    split_of: Mapping[str, str],
) -> dict[str, Any]:
    """How the splits were made, for report.json."""
    val = [clips[name].subject for name, split in split_of.items() if split == "val"]
    training = {clips[name].subject for name, split in split_of.items() if split == "train"}
    subjects = ordered({s for s in val if s is not None and s not in training})
    whole = bool(subjects) and all(s in subjects for s in val)
    return {
        "protocol": protocol.title,
        "source": protocol.source,
        "by": protocol.by,
        "train": list(protocol.train),
        "test": "all others" if protocol.rest_tests else list(protocol.test),
        "val": {
            "by": None if not val else SUBJECTS if whole else CLIPS,
            **({"subjects": subjects} if whole else {}),
            "share": choice.val_share,
            "seed": choice.seed,
        },
        "left_out": list(left_out),
        "draw": choice.draw or 0 if isinstance(choice.leave_out, int) and left_out else None,
        "without_copies": choice.drop_copies,
        "clips": dict(collections.Counter(split or "none" for split in split_of.values())),
    }


def _line(made: Mapping[str, Any]) -> str:
    """What was done in a line: "NW-UCLA cross-view; val (ours): subject 4"."""
    parts = [made["protocol"]]
    if made["left_out"]:
        draw = "" if made["draw"] is None else f" (ours, draw {made['draw']})"
        count = len(made["left_out"])
        parts.append(f"{count} class{'es' * (count > 1)} unseen{draw}")
    val, clips = made["val"], made["clips"].get("val", 0)
    if val["by"] == SUBJECTS:
        parts.append(f"val (ours): {clips} clips of subject {_listed(val['subjects'])}")
    elif val["by"] == CLIPS:
        parts.append(f"val (ours): {clips} training clips")
    if made["without_copies"]:
        parts.append("train without copies of test clips (ours)")
    return "; ".join(parts)


def _listed(values: Sequence[int | str]) -> str:
    return ", ".join(map(str, values))


# ---------------------------------------------------------------------------- options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of what protocols leave open to a reader's parser."""
    group = parser.add_argument_group("validation and unseen classes")
    group.add_argument("--val_share", type=float, default=VAL_SHARE, metavar="SHARE", help="of the "
                       "training subjects, or clips, that become val (default: %(default)s)"
                       )  # fmt: skip
    group.add_argument("--val_by", choices=(SUBJECTS, CLIPS), help="whole training subjects, or "
                       "clips of every class (default: subjects, unless one of them is more than a "
                       "fifth)")  # fmt: skip
    group.add_argument("--val_subjects", metavar="ID,ID,...", help="the training subjects that "
                       "become val, instead of a share")  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="of the choice of val "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument("--leave_out", metavar="NUMBER|CLASS,CLASS,...", help="classes left out of "
                       "train and val, whose test clips are the split unseen")  # fmt: skip
    group.add_argument("--draw", type=int, help="which draw of --leave_out=NUMBER, from 0 "
                       "(default: 0)")  # fmt: skip
    group.add_argument("--drop_copies", action="store_true", help="take training clips with the "
                       "same joints as a test clip out of train")  # fmt: skip


def source(args: argparse.Namespace) -> dict[str, Any]:
    """The options as stored in report.json; those that are not given are left out.

    Raises:
      ValueError: the share is none.
    """
    check_share(args.val_share)
    given = {name: getattr(args, name) for name in ("val_by", "val_subjects", "leave_out", "draw")}
    return {
        "val_share": args.val_share,
        "seed": args.seed,
        **{name: value for name, value in given.items() if value is not None},
        **({"drop_copies": True} if args.drop_copies else {}),
    }


def choice_of(args: argparse.Namespace) -> Choice:
    """The choice of the options.

    Raises:
      ValueError: options contradict each other.
    """
    if args.val_subjects and args.val_by == CLIPS:
        raise ValueError("--val_subjects names subjects, and --val_by=clips takes clips")
    text = (args.leave_out or "").strip()
    number = text.isascii() and text.isdecimal()
    classes = tuple(label_table.words(part) for part in text.split(",") if part.strip())
    return Choice(
        val_share=args.val_share,
        val_by=args.val_by,
        val_subjects=parse_ids(args.val_subjects, "--val_subjects"),
        seed=args.seed,
        leave_out=int(text) if number else classes,
        draw=args.draw,
        drop_copies=args.drop_copies,
    )


def parse_ids(text: str | None, option: str) -> tuple[int | str, ...]:
    """Ids of an option, "1,2,s03"; whole numbers are numbers; () if it is not given.

    Raises:
      ValueError: an id is empty, or there twice.
    """
    if text is None:
        return ()
    ids = tuple(int(p) if p.isdecimal() else p for p in (p.strip() for p in text.split(",")))
    if "" in ids or len(set(ids)) < len(ids):
        raise ValueError(f"{option}={text}; expected distinct ids separated by commas")
    return ids

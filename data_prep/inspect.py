"""`python -m data_prep inspect`: what motion files are, without preparing anything."""

import argparse
import collections
import html
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.told import add_told, told_of
from motionalign import files
from motionalign.conventions import as_flag

if TYPE_CHECKING:
    from motionalign.anatomy.takes import Take

SUMMARY = "what motion files are: skeleton, unit, axes, rate"
ABOUT = """\
Tells what motion files are: format, frames, rate, persons, unit, the axis that points up, and which
joints are which parts of the body. Nothing has to be configured, and nothing is written.

Folders are searched for motion files. A file that cannot be read, or is no human body (a hand, a
prop, a camera, an animal), is told in one line on stderr; the others are shown nevertheless, and
the exit status is 1.

examples:
  python -m data_prep inspect walk.bvh dance.fbx
  python -m data_prep inspect mocap --brief                     one line a take
  python -m data_prep inspect mocap --picture=mocap.html        with the poses of every take
  python -m data_prep inspect walk.c3d --json                   one JSON object a file
  python -m data_prep inspect clip.npy --skeleton=skeleton.json names and tree of its joints
"""

_PARTS = {"right_leg": "right leg", "left_leg": "left leg", "torso": "torso",
          "right_arm": "right arm", "left_arm": "left arm"}  # fmt: skip
_KINDS = {"fingers": "of fingers", "face": "of the face", "ends": "end sites"}
_MANY = 4  # names that are listed of the joints left out, before the rest is counted
_BLOCKS = 4  # takes of a file that are shown in full, before the rest is counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m data_prep inspect`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a motion file, or a folder of "
                        "such files")  # fmt: skip
    parser.add_argument("--brief", action="store_true", help="one line a take")
    parser.add_argument("--json", action="store_true", help="one JSON object a file and line: "
                        "file, takes")  # fmt: skip
    parser.add_argument("--picture", metavar="FILE", help="also draw the takes: a page that ends "
                        "in .html, or a .png")  # fmt: skip
    add_told(parser)


def run(args: argparse.Namespace) -> None:
    """Shows the files of the arguments; ends the process with status 1 if one is refused."""
    _check_picture(args)
    from motionalign.anatomy.takes import read_takes

    told, shown, refused = told_of(args), [], 0
    told.declared()  # a wrong skeleton file is no fault of the motion files
    paths, wrong, notes = _paths(args.files)
    refused += sum(map(_refuse, wrong))
    for note in notes:
        print(note, file=sys.stderr)
    for path in paths:
        try:
            takes = read_takes(path, told)
        except ValueError as error:
            refused += _refuse(_about(path, str(error)))
            continue
        found = [(take, _smpl22(take)) for take in takes]
        described = [describe(take, virtual) for take, virtual in found]
        if args.json:
            print(json.dumps({"file": str(path), "takes": described}, allow_nan=False))
        elif not args.brief:
            print(_blocks(path, described), flush=True)
        others = [(take, one) for take, one in zip(takes, described) if one["body"] != "human"]
        if others:
            refused += _refuse(_no_human(others, len(takes)))
        shown += [(path, take, one) for take, one in zip(takes, described)]
    if not args.json and shown and (args.brief or len(paths) > 1):
        print(_overview(shown, brief=args.brief))
    if args.picture and shown:
        _draw(pathlib.Path(args.picture), shown)
        print(f"wrote {args.picture}", file=sys.stderr)
    if refused:
        sys.exit(1)


def _check_picture(args: argparse.Namespace) -> None:
    """Raises a ValueError for a picture of an unknown kind, before files are read."""
    if args.picture and pathlib.Path(args.picture).suffix.lower() not in (".html", ".png"):
        raise ValueError(f"--picture={args.picture}: expected a name that ends in .html or .png")
    if args.picture:
        files.check_place(args.picture, f"--picture={args.picture}")


def _paths(given: Sequence[str]) -> tuple[list[pathlib.Path], list[str], list[str]]:
    """The files of the arguments, folders walked; what is wrong with some; and further notes."""
    from motionalign.anatomy.takes import motion_files

    paths, wrong, notes = [], [], []
    for each in given:
        try:
            found, others = motion_files(each)
        except ValueError as error:
            wrong.append(str(error))
            continue
        paths += found
        if others:
            suffixes = ", ".join(sorted({other.suffix or other.name for other in others}))
            count = "1 file" if len(others) == 1 else f"{len(others)} files"
            notes.append(f"{each}: left out {count} of other kinds ({suffixes})")
    return paths, wrong, notes


def _refuse(line: str) -> int:
    print(f"data_prep: {line}", file=sys.stderr, flush=True)
    return 1


def _about(path: pathlib.Path, message: str) -> str:
    """A message in one line that names the file."""
    message = " ".join(message.split())
    return message if str(path) in message else f"{path}: {message}"


def _no_human(others: Sequence[tuple["Take", dict]], count: int) -> str:
    """A line on the takes of a file that are no human bodies."""
    from motionalign.anatomy import NotHuman, require_human

    take, _ = others[0]
    more = f" ({len(others)} of its {count} takes are no human bodies)" if count > 1 else ""
    try:
        require_human(take.body, take.where)
    except NotHuman as error:
        return f"{error}{more}"
    raise AssertionError(take.body.kind)


def _smpl22(take: "Take") -> list[str] | None:
    """The joints of SMPL's 22 that are interpolated; None where there are none."""
    from motionalign.anatomy import smpl22

    if take.body.kind != "human" or take.motion.dims != 3:
        return None
    try:
        return list(smpl22(take.motion, take.body).virtual)
    except ValueError:
        return None


def describe(take: "Take", virtual: Sequence[str] | None) -> dict[str, Any]:
    """A take in JSON types.

    Args:
      take: the take.
      virtual: the joints of SMPL's 22 that are interpolated; None: it has no such joints.
    """
    from motionalign.anatomy.size import unit_name
    from motionalign.anatomy.takes import chain_names, left_out

    motion, body = take.motion, take.body
    finding = body.finding
    # What the file states is told of a hand or a prop as well, whose size nobody knows.
    unit, up = body.unit_in_metres or motion.unit_in_metres, body.up or motion.up
    return {
        "frames": motion.num_frames,
        "fps": _finite(take.fps),
        "persons": len(motion.persons),
        "joints": len(motion.joint_names) - len(motion.ends),
        "unit": unit and unit_name(unit),
        "up": up,
        "height": _finite(body.height),
        "body": body.kind,
        "chains": chain_names(body),
        "name": motion.name,
        "format": motion.format,
        "dims": motion.dims,
        "convention": body.convention,
        "why": body.why,
        "unit_known": body.unit_known or ("stated" if unit else ""),
        "up_known": body.up_known or ("stated" if up else ""),
        "end_sites": len(motion.ends),
        "joint_names": list(motion.joint_names),
        "person_names": list(motion.persons),
        "left_out": {kind: list(names) for kind, names in left_out(body).items()},
        "smpl22_virtual": None if virtual is None else list(virtual),
        "labels": {name: str(value) for name, value in motion.labels.items()},
        "notes": [*motion.notes, *body.notes],
        "finding": finding and {
            "reason": finding.reason,
            "detail": finding.detail,
            "remedy": finding.remedy and as_flag(*finding.remedy),
        },
    }  # fmt: skip


def _finite(value: float | None) -> float | None:
    """A number as JSON has it; None where there is none."""
    return round(float(value), 6) if value is not None and np.isfinite(value) else None


# ---------------------------------------------------------------------------- text


def _blocks(path: pathlib.Path, takes: Sequence[dict[str, Any]]) -> str:
    """The takes of a file; of many only the first."""
    shown = takes if len(takes) <= _BLOCKS else takes[:1]
    lines = [_block(path, each) for each in shown]
    if len(shown) < len(takes):
        lines.append(f"  and {len(takes) - 1:,} further takes: --brief shows them, one a line")
    return "\n".join(lines) + "\n"


def _block(path: pathlib.Path, found: dict[str, Any]) -> str:
    """Everything about a take, one line a fact."""
    rows = [("take", found["name"]), *_facts(found)]
    width = max(len(head) for head, _ in rows)
    lines = [f"{path}: {found['format']}"]
    for head, text in rows:
        lines.append(f"  {head.ljust(width)}  {text}")
    return "\n".join(lines)


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known about a take, as rows of a table."""
    kind = found["body"]
    rows = [
        ("frames", _frames(found)),
        ("persons", _persons(found)),
        ("joints", _joints(found)),
        ("body", f"{kind}, {found['convention']}" if found["convention"] else kind),
        ("", found["why"]),
        ("unit", _known(found["unit"], found["unit_known"])),
        ("up axis", _known(found["up"], found["up_known"])),
        ("height", "unknown" if found["height"] is None else f"{found['height']:.2f} m"),
    ]
    rows += [(_PARTS[part], ", ".join(names)) for part, names in found["chains"].items()]
    if (virtual := found["smpl22_virtual"]) is not None:
        verb = "is" if len(virtual) == 1 else "are"
        text = f"all but {', '.join(virtual)}, which {verb} interpolated" if virtual else "all"
        rows.append(("SMPL's 22", text))
    elif kind == "human" and found["dims"] == 2:
        rows.append(("SMPL's 22", "none: positions in an image, which have no depth"))
    if found["labels"]:
        labels = (f"{name} {value}" for name, value in found["labels"].items())
        rows.append(("labels", ", ".join(labels)))
    rows += [("note", note) for note in found["notes"]]
    if finding := found["finding"]:
        rows.append(("finding", f"{finding['reason']}: {finding['detail']}"))
        if finding["remedy"]:
            rows.append(("remedy", f"if so, declare it: {finding['remedy']}"))
    return [(head, text) for head, text in rows if text]


def _frames(found: dict[str, Any]) -> str:
    fps = found["fps"]
    if not fps:
        return f"{found['frames']}; the rate is not stated: other commands need --fps"
    return f"{found['frames']} at {fps:.6g} fps, {found['frames'] / fps:.2f} s"


def _persons(found: dict[str, Any]) -> str:
    names = ", ".join(filter(None, found["person_names"]))
    return f"{found['persons']}" + (f" ({names})" if names else "")


def _joints(found: dict[str, Any]) -> str:
    text = str(found["joints"]) + (" in 2D" if found["dims"] == 2 else "")
    if found["end_sites"]:
        text += f", and {found['end_sites']} end sites"
    left_out = []
    for kind, names in found["left_out"].items():
        more = f", and {len(names) - _MANY} more" if len(names) > _MANY else ""
        what = _KINDS.get(kind, kind)
        if len(names) == 1 and kind in ("ends", "helpers"):
            what = what.removesuffix("s")
        left_out.append(f"{len(names)} {what} ({', '.join(names[:_MANY])}{more})")
    return text + (f"; left out: {'; '.join(left_out)}" if left_out else "")


def _known(value: str | None, how: str) -> str:
    if value is None:
        return "unknown"
    return f"{value} ({how})" if how else value


def _overview(shown: Sequence[tuple[pathlib.Path, "Take", dict]], brief: bool) -> str:
    """One line a take; unless `brief`, of a file with many takes only the first."""
    takes = collections.Counter(path for path, *_ in shown)
    seen: collections.Counter[pathlib.Path] = collections.Counter()
    chosen = []
    for each in shown:
        seen[each[0]] += 1
        if brief or takes[each[0]] <= _BLOCKS or seen[each[0]] == 1:
            chosen.append(each)
    head = ("file", "format", "frames", "fps", "persons", "joints", "unit", "up", "height", "body")
    rows = [head, *(_row(str(path), take, found) for path, take, found in chosen)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    left = {0, 1, 6, 7, 9}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def _row(path: str, take: "Take", found: dict[str, Any]) -> tuple[str, ...]:
    body = found["body"]
    if body == "human" and found["convention"]:
        body = f"human, {found['convention']}"
    if finding := found["finding"]:
        body += f"; {finding['reason']}"
    return (
        f"{path}#{take.label}" if take.label else path,
        found["format"],
        str(found["frames"]),
        f"{found['fps']:.6g}" if found["fps"] else "?",
        str(found["persons"]),
        str(found["joints"]),
        found["unit"] or "?",
        found["up"] or "?",
        "?" if found["height"] is None else f"{found['height']:.2f} m",
        body,
    )


# ---------------------------------------------------------------------------- pictures


def _draw(output: pathlib.Path, shown: Sequence[tuple[pathlib.Path, "Take", dict]]) -> None:
    """Writes the picture of all takes: a page, or the strips one below the other."""
    from motionalign.report import pictures

    png = output.suffix.lower() == ".png"
    strips = [
        (path, take, found, _strips(take, str(path) if png else "")) for path, take, found in shown
    ]
    if png:
        images = [image for *_, of_take in strips for image in of_take]
        if not images:
            raise ValueError(f"--picture={output}: none of the takes is a human body to be drawn")
        files.write_bytes(output, pictures.png(np.concatenate(images)))
    else:
        sections = [_section(*each) for each in strips]
        text = _PAGE.format(
            count=f"{len(strips)} takes",
            right=pictures.PART_COLOURS["right_arm"],
            left=pictures.PART_COLOURS["left_arm"],
            sections="\n".join(sections),
        )
        files.write_text(output, text)


def _strips(take: "Take", title: str) -> list[np.ndarray]:
    """A strip of poses for each person of a human body; none where it cannot be drawn.

    With a title, it is written into the strip, with the take and the person.
    """
    from motionalign.anatomy import native
    from motionalign.report import pictures

    if take.body.kind != "human":
        return []
    try:
        skeleton, joints = native(take.motion, take.body)
    except ValueError:
        return []
    joints = np.where(np.arange(3) < skeleton.dims, joints, 0)  # in 2D a confidence is no depth
    unit = "m" if skeleton.dims == 3 else None
    drawn = []
    for person in range(joints.shape[1]):
        seen = joints[np.isfinite(joints[:, person]).all((1, 2)), person]
        if len(seen):
            figure = pictures.strip_figure(seen, skeleton, unit=unit)
            if title:
                who = f", person {person + 1}" if joints.shape[1] > 1 else ""
                label = f"{title}{', ' if take.label else ''}{take.label}{who}"
                figure.text(0.02, 0.01, label, fontsize=7, color="#64748b", gid="title")
            drawn.append(pictures.rendered(figure))
    return drawn


def _section(
    path: pathlib.Path, take: "Take", found: dict[str, Any], strips: Sequence[np.ndarray]
) -> str:
    """A take on the page: its strips and its table."""
    from motionalign.report import pictures

    images = "".join(
        f'<img src="{pictures.data_uri(strip, colours=64)}" alt="poses">' for strip in strips
    )
    rows = "".join(
        f"<tr><th>{html.escape(head)}</th><td>{html.escape(text)}</td></tr>"
        for head, text in _facts(found)
    )
    title = html.escape(f"{path}{os.sep}{take.label}" if take.label else str(path))
    return (
        f"<section><h2>{title} <small>{html.escape(found['format'])}</small></h2>"
        f"{images}<table>{rows}</table></section>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Motion files</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 980px; margin: 2em auto; padding: 0 1em;
  color: #1e293b; background: #fff }}
h2 {{ font-size: 1.1em }} small {{ font-weight: normal; color: #64748b }}
th {{ font-weight: normal; color: #64748b; text-align: left; vertical-align: top;
  padding-right: 1em; white-space: nowrap }}
section {{ border-top: 1px solid #e2e8f0; margin-top: 1.2em }} img {{ max-width: 100% }}
</style></head><body>
<h1>Motion files <small>{count}</small></h1>
<p>Poses over time from left to right, each centred on the body, and the path from above (ring:
start, triangle: end); the rule at the left is as tall as the first pose.
<b style="color:{right}">■</b> Blue is the right side, <b style="color:{left}">■</b> orange the
left; a leg is darker than the arm on the same side.</p>
{sections}
</body></html>
"""

"""`python -m data_prep show`: writes an HTML page to inspect a prepared dataset."""

import argparse
import collections
import html
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from motionalign import digests, files, reading

if TYPE_CHECKING:
    from motionalign.data.dataset import Metadata

SUMMARY = "an HTML page to inspect a dataset"
ABOUT = """\
Writes a self-contained HTML page to inspect a prepared dataset.

Shows what was kept and dropped, the lengths of the clips, and a few clips: poses, motion patches as
an image (Motion Patches, Figure 4) and captions.

examples:
  python -m data_prep show --name=humanml3d
  python -m data_prep show --name=kit_ml --split=test --num_clips=30 --output=kit.html
"""

LIMIT = 224  # maximum number of frames of the published models
PARTS = {"right_leg": "right leg", "left_leg": "left leg", "torso": "torso",
         "right_arm": "right arm", "left_arm": "left arm"}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m data_prep show`."""
    parser.add_argument(
        "--data_dir", default="data", help="parent of all prepared datasets (default: %(default)s)"
    )
    parser.add_argument("--name", required=True, help="name of the prepared dataset")
    parser.add_argument(
        "--split", default="train", help="split to take clips from (default: %(default)s)"
    )
    parser.add_argument(
        "--num_clips", type=int, default=12, help="clips to show (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the choice of clips (default: %(default)s)"
    )
    parser.add_argument("--output", help="HTML file to write (default: <data_dir>/<name>.html)")


def run(args: argparse.Namespace) -> None:
    """Writes the page for the given flags."""
    output = pathlib.Path(args.output or pathlib.Path(args.data_dir) / f"{args.name}.html")
    if output.is_dir():
        raise ValueError(f"--output={output} is a folder; name a file, such as {output}/page.html")
    if args.num_clips < 0:
        raise ValueError(f"--num_clips={args.num_clips}; expected at least 0")
    page = make_page(args.data_dir, args.name, args.split, args.num_clips, args.seed)
    files.write_text(output, page)
    print(f"wrote {output}")


def make_page(
    data_dir: str | pathlib.Path, name: str, split: str, num_clips: int, seed: int = 0
) -> str:
    """The page as HTML with embedded images.

    Args:
      data_dir: parent of all prepared datasets.
      name: name of the prepared dataset.
      split: split to take clips from.
      num_clips: how many clips to show.
      seed: of the choice of clips.

    Raises:
      ValueError: the dataset is not prepared, or has no such split.
    """
    from motionalign.data.dataset import Dataset
    from motionalign.data.records import PREPARE_AGAIN
    from motionalign.report import pictures

    dataset = Dataset(data_dir, name)
    meta = dataset.metadata
    path = dataset.version_dir / "report.json"
    report = digests.read_json(path, PREPARE_AGAIN, _REPORT)
    with digests.advising(PREPARE_AGAIN):
        _check_report(report, path)
    splits = {name: dataset.split(name) for name, n in report["splits"].items() if n["records"]}
    shown = dataset.split(split)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(shown), min(num_clips, len(shown)), replace=False))
    captions = {caption for s in splits.values() for record in s.captions for caption in record}
    unit = {None: "unknown unit", 1.0: "metres"}.get(
        meta.unit_in_metres, f"units of {meta.unit_in_metres} m"
    )
    origin = "HumanML3D's origin" if meta.origin else "no common origin"
    facts = (
        f"{meta.skeleton.num_joints} joints ({meta.skeleton.name}) in {unit}, {meta.fps:g} frames "
        f"per second (source: {meta.source_fps:g}), {meta.patch_size} points per body part; "
        f"{meta.sensor} sensor, {origin}; {len(captions):,} distinct captions"
    )
    return PAGE.format(
        name=html.escape(name),
        facts=html.escape(facts),
        counts=_counts(report),
        classes=_classes(splits, meta),
        dropped=_dropped(report),
        noticed=_noticed(report),
        lengths=_histogram(
            {name: s.num_frames for name, s in splits.items()}, max(1, round(meta.fps))
        ),
        fps=f"{meta.fps:g}",
        limit=LIMIT,
        right=pictures.PART_COLOURS["right_arm"],
        left=pictures.PART_COLOURS["left_arm"],
        choice=f"{len(rows)} of {len(shown):,} records of {html.escape(split)}",
        clips="\n".join(_clip(shown[int(row)], meta) for row in rows),
    )


_COUNTED = ("read", "kept", "dropped", "mirrored", "records", "captions", "scored")
_ENTRY = dict.fromkeys(("id", "reason", "detail"), str)
_FINDING = {"count": int, "meaning": str, "entries": list[str]}
_REPORT = {"splits": dict, "dropped": list, "captions_dropped": list}


def _check_report(report: dict, path: pathlib.Path) -> None:
    """Raises a ValueError if a part of report.json that the page shows has another form."""
    for split, counts in report["splits"].items():
        reading.check_form(counts, dict.fromkeys(_COUNTED, int), f"{path}: splits: {split}")
    for kind in ("dropped", "captions_dropped"):
        for entry in report[kind]:
            reading.check_form(entry, _ENTRY, f"{path}: {kind}")
    reading.check_form(report.get("noticed", []), list, f"{path}: noticed")
    for finding in report.get("noticed", ()):
        reading.check_form(finding, _FINDING, f"{path}: noticed")


def _counts(report: dict) -> str:
    rows = [_row(split, (of[k] for k in _COUNTED)) for split, of in report["splits"].items()]
    return _table(("split", *_COUNTED), rows)


def _row(head: str, counts: Iterable[int]) -> str:
    return f"<tr><th>{html.escape(head)}</th>" + "".join(f"<td>{n:,}</td>" for n in counts)


def _count(labels: np.ndarray, count: int) -> np.ndarray:
    """[count] records of each action, of labels [n, m]; -1: none."""
    return np.bincount(labels[labels >= 0], minlength=count)


def _classes(splits: dict, meta: "Metadata") -> str:
    """Tables of records per action and per attribute, by split; empty if there are none."""
    labels, attributes = meta.label_names, meta.attribute_names
    tables = []
    for what, names, count in (
        ("action", labels, lambda s: _count(s.all_labels, len(labels))),
        ("attribute", attributes, lambda s: meta.present(s.attributes).sum(axis=0)),
    ):
        if names:
            counts = np.stack([count(split) for split in splits.values()], axis=1)  # [K, splits]
            order = np.argsort(-counts.sum(axis=1), kind="stable")
            tables.append(_table((what, *splits), [_row(names[k], counts[k]) for k in order]))
    if not tables:
        return ""
    return "<h2>Classes <small>records per class</small></h2>" + "<br>".join(tables)


def _dropped(report: dict) -> str:
    """Reasons with counts and examples, for dropped sources and caption lines."""
    rows = []
    for what, key in (("source", "dropped"), ("caption line", "captions_dropped")):
        by_reason = collections.defaultdict(list)
        for entry in report[key]:
            by_reason[entry["reason"]].append(entry)
        for reason, entries in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            examples = "; ".join(f"{e['id']}: {e['detail']}" for e in entries[:3])
            cells = (f"{len(entries):,}", what, reason, examples)
            rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    if not rows:
        return "<p>Nothing was dropped.</p>"
    return f'<div class="dropped">{_table(("count", "of", "reason", "for example"), rows)}</div>'


def _noticed(report: dict) -> str:
    """What was noticed, with three examples of each; reports before version 0.2 have nothing."""
    rows = []
    for finding in report.get("noticed", ()):
        examples = html.escape("; ".join(finding["entries"][:3]))
        more = "; ..." if len(finding["entries"]) > 3 else ""
        cells = (f"{finding['count']:,}", html.escape(finding["meaning"]), examples + more)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells))
    if not rows:
        return ""
    table = _table(("count", "what", "for example"), rows)
    return f'<h2>Noticed</h2>\n<div class="dropped">{table}</div>'


def _table(head: tuple[str, ...], rows: list[str]) -> str:
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    return "<table><tr>" + cells + "</tr>\n" + "\n".join(rows) + "\n</table>"


def _histogram(lengths: dict[str, np.ndarray], second: int) -> str:
    """Histogram of record lengths as SVG, stacked by split; `second`: bin width in frames."""
    colours = dict(zip(lengths, ("#3f9ae0", "#f5a524", "#475569", "#0f9d76")))
    top = max((int(n.max()) for n in lengths.values()), default=0) // second + 1
    counts = {
        name: np.bincount(frames // second, minlength=top) for name, frames in lengths.items()
    }
    tallest = max(np.sum(list(counts.values()), axis=0).max(), 1)
    width, height, slot = 900, 180, 900 / top
    bars = []
    base = np.zeros(top)
    for name, count in counts.items():
        for i in np.flatnonzero(count):
            size = height * count[i] / tallest
            y = height - base[i] - size
            bars.append(
                f'<rect x="{i * slot + 0.5:.1f}" y="{y:.1f}" width="{slot - 1:.1f}" '
                f'height="{size:.1f}" fill="{colours[name]}"><title>{i * second} to '
                f"{(i + 1) * second - 1} frames: {count[i]} in {html.escape(name)}</title></rect>"
            )
        base += height * count / tallest
    step = max(1, top // 12)
    labels = [
        f'<text x="{i * slot:.1f}" y="{height + 14}">{i * second}</text>'
        for i in range(0, top + 1, step)
    ]
    if top * second > LIMIT:
        x = LIMIT / second * slot
        labels.append(f'<path d="M{x:.1f} 0V{height}" stroke="#c2410c" stroke-dasharray="4"/>')
    key = " ".join(
        f'<b style="color:{colours[name]}">■</b> {html.escape(name)}' for name in lengths
    )
    return (
        f'<svg viewBox="-10 -5 {width + 30} {height + 24}">{"".join(bars + labels)}</svg>'
        f"<p>{key}; tallest bar: {tallest:,}</p>"
    )


def _unit(meta: "Metadata") -> str | None:
    """The unit of the joints, for the rule beside a strip; None in an image, which has no size."""
    if meta.skeleton.dims == 2:
        return None
    if meta.unit_in_metres is None:
        return "units"
    return "m" if meta.unit_in_metres == 1 else f"x {meta.unit_in_metres:g} m"


def _clip(record: dict, meta: "Metadata") -> str:
    """One record: its facts and captions, and per person a strip of poses and a patch image.

    A 2D record has no patches; its strip shows the body from the camera's view.
    """
    from motionalign.report import pictures

    num_frames = len(record["joints"])
    facts = [f"{num_frames} frames, {num_frames / meta.fps:.1f} s"]
    if record["span"].any():
        facts.append("seconds {:g} to {:g} of {}".format(*record["span"], record["source"]))
    if record["mirrored_of"]:
        facts.append(f"mirror image of {record['mirrored_of']}")
    facts += [meta.label_names[label] for label in record["labels"]]
    if meta.attribute_names:
        facts.append(meta.attribute_words(meta.positive(record["attributes"])))
    drawn = []
    # In 2D, the third number of a joint is a confidence, not a depth.
    joints = record["joints"] * (np.arange(3) < meta.skeleton.dims)
    for person in range(joints.shape[1]):
        strip = pictures.skeleton_strip(joints[:, person], meta.skeleton, unit=_unit(meta))
        drawn.append(f'<img src="{pictures.data_uri(strip, colours=64)}" alt="poses">')
        if meta.skeleton.dims == 2:
            continue
        # Time runs from left to right, as in the strip of poses.
        image = pictures.patch_image(record["patches"][:, person]).transpose(1, 0, 2)
        names = "".join(f"<span>{PARTS[part]}</span>" for part in meta.skeleton.chain_names)
        drawn.append(
            f'<div class="patches"><div class="parts">{names}</div>'
            f'<img src="{pictures.data_uri(image)}" alt="motion patches" '
            f'style="width:{3 * num_frames}px"></div>'
        )
    captions = "".join(f"<li>{html.escape(caption)}</li>" for caption in record["captions"])
    return (
        f"<section><h3>{html.escape(record['id'])} <small>{html.escape('; '.join(facts))}</small>"
        f"</h3><ul>{captions}</ul>{''.join(drawn)}</section>"
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 980px; margin: 2em auto; padding: 0 1em;
  color: #1e293b; background: #fff }}
h1 {{ margin-bottom: 0 }} small {{ font-weight: normal; color: #64748b }}
table {{ border-collapse: collapse }}
th, td {{ padding: .15em .8em .15em 0; text-align: right; vertical-align: top }}
th:first-child, .dropped :is(th, td) {{ text-align: left }}
.dropped :is(th, td):first-child {{ text-align: right }}
svg {{ width: 100% }} svg text {{ font-size: 11px; fill: #64748b }}
section {{ border-top: 1px solid #e2e8f0; margin-top: 1.2em }}
img {{ max-width: 100% }}
.patches {{ display: flex; overflow-x: auto; gap: .5em }}
.patches img {{ height: 160px; max-width: none; image-rendering: pixelated }}
.parts {{ display: flex; flex-direction: column; font-size: 12px; color: #64748b }}
.parts span {{ height: 32px; line-height: 32px; white-space: nowrap }}
</style></head><body>
<h1>{name}</h1>
<p>{facts}</p>
{counts}
<p>Read, kept, dropped, mirrored: clips as listed in the splits. Scored: kept clips on which
retrieval is evaluated, with the record of their first caption line.</p>
{classes}
<h2>Dropped</h2>
{dropped}
{noticed}
<h2>Lengths <small>records by number of frames, at {fps} frames per second; dashed: the maximum of
{limit} frames of the published models</small></h2>
{lengths}
<h2>Clips <small>{choice}</small></h2>
<p>Top: poses over time from left to right, each centred on the body, and the path from above
(ring: start, triangle: end); the rule at the left is as tall as the first pose. Bottom: the clip's
motion patches as an image, with one column per frame and one row per point of a body part; red,
green and blue are the z-scored x, y and z.</p>
<p>Poses: <b style="color:{right}">■</b> blue is the right side, <b style="color:{left}">■</b>
orange the left; a leg is darker than the arm on the same side.</p>
{clips}
</body></html>
"""

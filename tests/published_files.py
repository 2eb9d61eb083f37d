"""Small files in the formats in which BABEL, AMASS, SMPL-H and DenseGait are published."""

import csv
import itertools
import json
import pathlib

import numpy as np
from bodies import body

from data_prep.readers.densegait import COLUMNS
from motionalign.formats.smplh import NUM_BODY, PARENTS

VERTICES, JOINTS, SHAPES = 50, 52, 16
CATEGORIES = ("walk", "stand", "turn", "jump", "sit", "run")  # of BABEL's 60
DATA_SETS = ("BMLrub/BioMotionLab_NTroje/rub{:03d}", "KIT/KIT/{}")  # the first folder repeats


def write_smplh(folder: pathlib.Path, seed: int = 0) -> None:
    """`<gender>/model.npz` for three genders: SMPL-H's arrays for a body of 50 vertices."""
    rng = np.random.default_rng(seed)
    parents = np.arange(-1, JOINTS - 1)
    parents[:NUM_BODY] = PARENTS
    # The joints of the body are vertices, so that the body has human proportions.
    template = rng.normal(0, 0.5, (VERTICES, 3))
    template[:NUM_BODY] = body(1)[0]
    regressor = rng.dirichlet(np.full(VERTICES, 0.1), JOINTS)
    regressor[:NUM_BODY] = np.eye(NUM_BODY, VERTICES)
    for gender in ("female", "male", "neutral"):
        (folder / gender).mkdir(parents=True)
        np.savez(
            folder / gender / "model.npz",
            v_template=template,
            shapedirs=rng.normal(0, 0.0005, (VERTICES, 3, SHAPES)),
            J_regressor=regressor,
            # The root's parent is 2**32 - 1 in the published files.
            kintree_table=np.stack([parents.astype(np.uint32), np.arange(JOINTS, dtype=np.uint32)]),
        )


def write_amass(path: pathlib.Path, seconds: float, rate: float, seed: int = 0, **arrays) -> None:
    """A smooth random motion, as an AMASS file; `arrays` replace its own, None leaves one out."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * rate)
    time = np.arange(frames)[:, None] / rate
    swing = np.sin(2 * np.pi * rng.uniform(0.2, 1.5, 3 * JOINTS) * time + rng.uniform(0, 6))
    # Legs swing less than the rest, so that the body stands on them.
    reach = np.where(np.isin(np.arange(JOINTS), (0, 1, 2, 4, 5, 7, 8)), 0.3, 0.8).repeat(3)
    poses = rng.uniform(-reach, reach) * swing
    poses[:, 0] += np.pi / 2  # the body stands along Y, AMASS's Z points up
    content = {
        "poses": poses,
        "trans": np.cumsum(rng.normal(0, 0.5 / rate, (frames, 3)), axis=0),
        "betas": rng.normal(size=SHAPES),
        "gender": np.array(("female", b"male", "neutral")[seed % 3]),
        # Older files spell it the first way, newer ones the second.
        ("mocap_framerate", "mocap_frame_rate")[seed % 2]: np.array(float(rate)),
    } | arrays
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: array for name, array in content.items() if array is not None})


def babel_label(*categories: str, start: float | None = None, end: float | None = None) -> dict:
    """One label of an annotation; with times, of a `frame_ann`."""
    text = " and ".join(categories)
    label = {
        "raw_label": text,
        "proc_label": text,
        "seg_id": f"seg-{text}-{start}",
        "act_cat": list(categories) or None,
    }
    return label if start is None else label | {"start_t": start, "end_t": end}


def babel_annotation(*labels: dict) -> dict:
    return {"babel_lid": "lid", "anntr_id": "someone", "mul_act": len(labels) > 1,
            "labels": list(labels)}  # fmt: skip


def write_babel(
    folder: pathlib.Path, num_train: int = 24, num_val: int = 8, seed: int = 0
) -> dict[str, pathlib.Path]:
    """BABEL's dense annotations, AMASS's motions of 2 to 12 seconds, and the body models.

    Two of three sequences have `frame_ann`: segments that follow each other, of one category or
    two; the third has only `seq_ann`. One segment in eight is a transition, which is no class.

    Returns:
      `raw_dir`, `amass_dir` and `smplh_dir`.
    """
    rng = np.random.default_rng(seed)
    paths = {name: folder / name for name in ("raw_dir", "amass_dir", "smplh_dir")}
    paths["raw_dir"].mkdir(parents=True)
    write_smplh(paths["smplh_dir"], seed)
    sid = 0
    for split, count in (("train", num_train), ("val", num_val)):
        entries = {}
        for _ in range(count):
            sid += int(rng.integers(1, 9))
            seconds = round(float(rng.uniform(2, 12)), 2)
            feat_p = f"{DATA_SETS[sid % 2].format(sid)}/{sid:04d}_clip_poses.npz"
            # As the archives unpack, and as BABEL names it.
            place = feat_p.partition("/")[2] if sid % 3 else feat_p
            rate = (60, 100, 120, 250)[sid % 4]
            write_amass(paths["amass_dir"] / place, seconds, rate, sid)
            entries[str(sid)] = {
                "babel_sid": sid,
                "url": f"https://example.org/{sid:06d}.mp4",
                "feat_p": feat_p,
                "dur": seconds,
                "seq_ann": babel_annotation(babel_label(*_some_categories(rng))),
                "frame_ann": _tiled(seconds, rng) if len(entries) % 3 else None,
            }
        (paths["raw_dir"] / f"{split}.json").write_text(json.dumps(entries))
    return paths


def _some_categories(rng: np.random.Generator) -> list[str]:
    return [str(name) for name in rng.choice(CATEGORIES, rng.integers(1, 3), replace=False)]


def _tiled(seconds: float, rng: np.random.Generator) -> dict:
    edges = [0, *sorted(rng.uniform(0.5, seconds - 0.5, rng.integers(0, 3)).round(3)), seconds]
    labels = []
    for start, end in itertools.pairwise(edges):
        categories = ["transition"] if labels and rng.random() < 0.25 else _some_categories(rng)
        labels.append(babel_label(*categories, start=float(start), end=float(end)))
    return babel_annotation(*labels)


# A body of OpenPose's 18 joints seen from the front, in pixels, y down: the right side is on the
# left of the image.
FIGURE = np.array(
    "50,20 50,40 35,40 30,65 28,90 65,40 70,65 72,90 42,95 41,130 40,165 58,95 59,130 60,165 "
    "47,16 53,16 43,18 57,18".replace(",", " ").split(),
    np.float32,
).reshape(18, 2)


def write_densegait(folder: pathlib.Path, num_tracks: int = 40, seed: int = 0) -> pathlib.Path:
    """annotations.csv and its tracks; every fourth track has two files. Returns `raw_dir`.

    Attributes are those of ten kinds of people, so that sets of them occur again.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.random((10, len(COLUMNS))) ** 3
    folder.mkdir(parents=True)
    with (folder / "annotations.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["track_id", "file_name", *COLUMNS])
        for track in range(num_tracks):
            kind = kinds[rng.integers(len(kinds))]
            for part in range(1 + (track % 4 == 0)):
                name = f"camera-{track % 2}/{track:05d}_{part}.npy"
                table.writerow([f"t{track}", name, *kind.round(3)])
                (folder / name).parent.mkdir(exist_ok=True)
                np.save(folder / name, _walk_past(rng, int(rng.integers(30, 80))))
    return folder


def _walk_past(rng: np.random.Generator, frames: int) -> np.ndarray:
    """[frames, 18, 3] float32."""
    phase = np.linspace(0, frames / 12, frames)[:, None] * 2 * np.pi
    xy = np.repeat(FIGURE[None], frames, axis=0)
    xy[:, [9, 10], 0] += 8 * np.sin(phase)
    xy[:, [12, 13], 0] -= 8 * np.sin(phase)
    xy += np.stack([3 * np.arange(frames), np.zeros(frames)], axis=-1)[:, None]
    xy = xy * rng.uniform(0.8, 2) + rng.normal(0, 0.3, xy.shape)
    confidence = rng.uniform(0.5, 1, (frames, 18, 1))
    return np.concatenate([xy, confidence], axis=-1).astype(np.float32)

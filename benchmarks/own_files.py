"""Whether a model finds a clip of its library by the motion file that the clip was made from.

  python -m benchmarks.own_files --workdir=runs/mocap_small --files=FILES --raw_dir=LIBRARY

The files are read as any files are: their skeleton is found, SMPL's 22 joints are made of it,
resampled to 20 frames per second, and moved and turned as in HumanML3D. The clip of a file is the
one of the library, a folder in HumanML3D's layout, with whose name the file's name ends. Printed
are the distance between both in joints, the cosine between their embeddings, and the rank of the
own clip among all of the library.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from motionalign import formats
from motionalign.anatomy import require_human, smpl22, understand
from motionalign.conventions import canonical
from motionalign.data.resample import HUMANML3D_FPS, resample
from motionalign.files import write_json
from motionalign.metrics import retrieval_ranks
from motionalign.skeleton import SKELETONS

if TYPE_CHECKING:
    from motionalign.inference.model import Model


class Found(NamedTuple):
    """What is measured of each of N files.

    Attributes:
      away: [N] largest distance of a joint from that of the own clip in metres, over the frames
        that both have; NaN where their numbers differ by more than one.
      cosines: [N] with the own clip.
      ranks: [N] of the own clip among all clips, from 1.
    """

    away: np.ndarray
    cosines: np.ndarray
    ranks: np.ndarray


def clip_of(path: pathlib.Path) -> np.ndarray:
    """The first person of the first take of a file, as a clip of HumanML3D, [T, 22, 3]."""
    motion = formats.read(path)[0]
    body = understand(motion)
    require_human(body, str(path))
    if motion.fps is None:
        raise ValueError(f"{path} states no frame rate")
    made = smpl22(motion, body)
    joints = made.joints[made.points.present[:, 0], 0]
    return canonical(resample(joints, motion.fps, HUMANML3D_FPS), SKELETONS["smpl22"])


def own_clip(path: pathlib.Path, names: Sequence[str]) -> int:
    """The index of the longest name with which a file's name ends; ValueError if there is none."""
    fitting = [i for i, name in enumerate(names) if path.stem.endswith(name)]
    if not fitting:
        raise ValueError(f"{path}: no clip of the library has a name with which {path.stem} ends")
    return max(fitting, key=lambda i: len(names[i]))


def compare(
    clips: Sequence[np.ndarray], library: Sequence[np.ndarray], own: Sequence[int], model: "Model"
) -> Found:
    """Compares clips with the library's.

    Args:
      clips: N clips [T, 22, 3] from files.
      library: G clips at 20 frames per second.
      own: [N] indices of the library's clips that the files belong to.
      model: encodes all of them.
    """
    away = [_away(clip, library[i]) for clip, i in zip(clips, own, strict=True)]
    of_files, of_library = (
        model.encode_motion(list(each), HUMANML3D_FPS) for each in (clips, library)
    )
    scores = of_files @ of_library.T
    relevant = np.zeros_like(scores, bool)
    relevant[np.arange(len(own)), list(own)] = True
    return Found(np.array(away), scores[relevant], retrieval_ranks(scores, relevant))


def _away(clip: np.ndarray, own: np.ndarray) -> float:
    """The largest distance of two clips' joints; the last frame is a matter of rounding."""
    if abs(len(clip) - len(own)) > 1:
        return np.nan
    count = min(len(clip), len(own))
    return float(np.linalg.norm(clip[:count] - own[:count], axis=-1).max())


def main() -> None:
    """Compares the files of a folder with a library."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="a trained model of SMPL's joints")
    parser.add_argument("--files", required=True, help="folder of motion files of any format")
    parser.add_argument("--raw_dir", required=True, help="the library, with new_joints/*.npy")
    parser.add_argument("--output", help="JSON file of the figures of every file")
    args = parser.parse_args()
    from motionalign.inference.model import load

    model = load(args.workdir)
    paths = sorted(pathlib.Path(args.raw_dir, "new_joints").glob("*.npy"))
    library = [np.load(path).astype(np.float32) for path in paths]
    found = sorted(formats.find(pathlib.Path(args.files)))
    own = [own_clip(path, [each.stem for each in paths]) for path in found]
    measured = compare([clip_of(path) for path in found], library, own, model)
    print(f"{len(found)} files, library of {len(library)} clips")
    print(f"joints: at most {1000 * np.nanmax(measured.away):.2f} mm from the own clip")
    print(f"cosine with the own clip: mean {measured.cosines.mean():.4f}, "
          f"least {measured.cosines.min():.4f}")  # fmt: skip
    print(f"rank of the own clip: median {np.median(measured.ranks):g}, "
          f"largest {measured.ranks.max():g}")  # fmt: skip
    if args.output:
        rows = {
            path.name: dict(zip(measured._fields, map(float, row)))
            for path, *row in zip(found, *measured)
        }
        write_json(args.output, rows)


if __name__ == "__main__":
    main()

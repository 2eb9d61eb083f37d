"""Two persons as one body of twice the joints, for encoders that read one person.

    python -m benchmarks.pairs --data_dir=data --raw=sbu_interaction.npz --fold=1 --name=sbu_1_pairs

The joints of the second person follow those of the first, whose root is the root of both. Clips are
moved and turned by the first person: what is written is where the second one is from there.
"""

import argparse
import pathlib
from collections.abc import Callable

import numpy as np

from data_prep.builders import prepare
from data_prep.protocols import Protocol
from data_prep.readers.labelled import Labelled
from motionalign.conventions import REASONS
from motionalign.skeleton import Skeleton


def paired(skeleton: Skeleton) -> Skeleton:
    """The skeleton of two bodies; its chains, which motion patches read, are the first's."""
    count = skeleton.num_joints
    second = tuple(0 if parent < 0 else parent + count for parent in skeleton.parents)
    return Skeleton(
        name=f"{skeleton.name}_pair",
        joint_names=skeleton.joint_names + tuple(f"other_{name}" for name in skeleton.joint_names),
        parents=skeleton.parents + second,
        chains=skeleton.chains,
        chain_names=skeleton.chain_names,
        mirror=skeleton.mirror + tuple(twin + count for twin in skeleton.mirror),
        dims=skeleton.dims,
    )


class Pairs(Labelled):
    """A labelled set whose clips of two persons are clips of one body."""

    # The bone between two bodies is no bone, and the second may be absent.
    accept = tuple(REASONS)

    def __init__(self, raw: pathlib.Path, protocol: str | Protocol, fold: int | None) -> None:
        """See `Labelled`."""
        super().__init__(raw, protocol, fold)
        self.skeleton = paired(self.skeleton)
        self.canonical = True

    def joints(self, source: str) -> np.ndarray:
        """[T, 1, 2J, 3]; the joints of an absent person lie on the root of the other."""
        both = super().joints(source)  # [T, 2, J, 3]
        if both.shape[1] != 2:
            raise ValueError(f"{self.raw}: clips have {both.shape[1]} persons; a pair has 2")
        absent = (both == 0).all(axis=(2, 3), keepdims=True)
        root = np.where(absent[:, :1], both[:, 1:, :1], both[:, :1, :1])
        both = np.where(absent, root, both)
        return both.reshape(len(both), 1, -1, 3)


def prepare_pairs(
    data_dir: pathlib.Path,
    name: str,
    raw: pathlib.Path,
    fold: int | None,
    protocol: str | Protocol = "folds",
    say: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Prepares the dataset of a fold and returns its path; one that exists is kept.

    Args:
      data_dir: parent of all prepared datasets.
      name: of the dataset.
      raw: the set, of two persons a clip.
      fold: the fold that tests, from 1; None if the protocol has no folds.
      protocol: as in `Labelled`.
      say: receives the messages for the user.
    """
    title = protocol if isinstance(protocol, str) else protocol.name
    return prepare(
        lambda: Pairs(raw, protocol, fold),
        data_dir,
        name,
        min_frames=1,
        source={"raw": str(raw.absolute()), "protocol": title, "fold": fold},
        paths=("raw",),
        say=say,
    )


def main() -> None:
    """Prepares the dataset of a fold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="SBU Kinect Interaction")
    parser.add_argument("--fold", type=int, required=True, help="1 to 5: the fold that tests")
    parser.add_argument("--name", required=True, help="name of the dataset")
    args = parser.parse_args()
    prepare_pairs(args.data_dir, args.name, args.raw, args.fold, say=print)


if __name__ == "__main__":
    main()

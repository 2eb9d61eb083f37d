"""Small datasets in the published folder layout."""

import dataclasses
import pathlib

import numpy as np
import pytest
from bodies import body

from motionalign.skeleton import SKELETONS


@dataclasses.dataclass
class Published:
    """Writes clips of random bodies, which a test can then make invalid."""

    folder: pathlib.Path
    num_joints: int = 22

    def __post_init__(self):
        for name in ("new_joints", "texts"):
            (self.folder / name).mkdir(parents=True)
        for split in ("train", "val", "test"):
            (self.folder / f"{split}.txt").touch()

    def clip(self, name, split="train", frames=30, lines=("a person walks#a/DET#0.0#0.0",)):
        """`lines`: of the text file; a plain sentence stands for a whole-clip caption."""
        seed = sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**32
        skeleton = {22: "smpl22", 21: "kit21"}[self.num_joints]
        np.save(self.motion(name), body(frames, skeleton, seed))
        lines = [line if "#" in line else f"{line}#a/DET#0.0#0.0" for line in lines]
        self.text(name).write_text("\n".join(lines) + "\n")
        with (self.folder / f"{split}.txt").open("a") as file:
            file.write(name + "\n")
        return self

    def mirrored(self, name, split="train", of=None, **options):
        """A clip that is the mirror image of `of`, by default of its name without M."""
        self.clip(name, split, **options)
        joints = SKELETONS["smpl22"].mirrored(self.joints(of or name[1:]))
        np.save(self.motion(name), joints)
        return self

    def motion(self, name) -> pathlib.Path:
        return self.folder / "new_joints" / f"{name}.npy"

    def text(self, name) -> pathlib.Path:
        return self.folder / "texts" / f"{name}.txt"

    def joints(self, name) -> np.ndarray:
        return np.load(self.motion(name))


@pytest.fixture
def published(tmp_path) -> Published:
    return Published(tmp_path / "raw")


@pytest.fixture
def published_kit(tmp_path) -> Published:
    return Published(tmp_path / "raw", num_joints=21)


def spoil_ten_ways(folder: pathlib.Path, names: list[str]) -> dict[str, str]:
    """Makes ten clips of a dataset in the published layout invalid: {name: expected reason}.

    The tenth is listed twice in train.txt: the second occurrence is dropped, the first is kept.
    """

    def motion(name, change):
        path = folder / "new_joints" / f"{name}.npy"
        np.save(path, change(np.load(path)))

    def nan_at(joints, index):
        joints[index] = np.nan
        return joints

    text = {name: folder / "texts" / f"{name}.txt" for name in names}
    (folder / "new_joints" / f"{names[0]}.npy").unlink()
    damaged = folder / "new_joints" / f"{names[1]}.npy"
    damaged.write_bytes(damaged.read_bytes()[:200])
    motion(names[2], lambda joints: joints[:, :21])
    motion(names[3], lambda joints: nan_at(joints, (-1, 3, 1)))
    motion(names[4], lambda joints: joints[:1])
    text[names[5]].unlink()
    text[names[6]].write_text("a person walks\n")
    text[names[7]].write_text("#a/DET#0.0#0.0\n")
    text[names[8]].write_text("a person walks#a/DET#500.0#502.0\n")
    with (folder / "train.txt").open("a") as file:
        file.write(f"\n{names[9]}\n")
    return dict(
        zip(
            names,
            (
                "motion_missing motion_unreadable wrong_shape not_finite too_short text_missing "
                "text_malformed caption_empty span_outside duplicate_id"
            ).split(),
        )
    )


@pytest.fixture
def spoil():
    return spoil_ten_ways

"""A small dataset in HumanML3D's layout, prepared."""

import shutil

import numpy as np
import pytest
from bodies import body

from data_prep.builders import prepare
from data_prep.readers.humanml3d import HumanML3D
from motionalign.skeleton import SKELETONS


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Raw clips in HumanML3D's layout: several captions, spans, one clip with spans only."""
    raw = tmp_path_factory.mktemp("raw")
    for name in ("new_joints", "texts"):
        (raw / name).mkdir()
    texts = {
        "train": {
            "a": ["walks", "walks, then sits#x#1.0#2.0", "strolls", "ünïcode “quotes”\x85inside"],
            "b": ["sits#x#0.5#1.5", "stands"],
            "c": ["only this part#x#0.2#1.2"],
        },
        "val": {"v": ["jumps"]},
        "test": {"t": ["turns left", "turns"], "Mt": ["turns right"]},
    }
    for split, clips in texts.items():
        (raw / f"{split}.txt").write_text("\n".join(clips) + "\n")
        for name, lines in clips.items():
            lines = [line if "#" in line else f"{line}#x#0.0#0.0" for line in lines]
            (raw / "texts" / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
            joints = body(50, seed=ord(name[-1]))
            if name[0] == "M":
                joints = SKELETONS["smpl22"].mirrored(joints)
            np.save(raw / "new_joints" / f"{name}.npy", joints)
    return raw


@pytest.fixture(scope="module")
def data_dir(published, tmp_path_factory):
    """The clips of `published`, prepared as dataset "tiny"."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(lambda: HumanML3D(published), folder, "tiny")
    return folder


@pytest.fixture
def copy(data_dir, tmp_path):
    """A copy of the dataset folder that a test may modify."""
    return shutil.copytree(data_dir / "tiny" / "1.0.0", tmp_path / "tiny" / "1.0.0")

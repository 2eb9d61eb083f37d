"""The benchmark of BVH files."""

import json
import sys

import motion_files
import numpy as np
import pytest

from benchmarks import bvh


def test_frames_are_repeated_and_thinned():
    content = "HIERARCHY\r\nMOTION\r\nFrames: 3\r\nFrame Time: .1\r\n0\r\n1\r\n2\r\n\r\n"
    head = "HIERARCHY\nMOTION\nFrames: {}\nFrame Time: .1\n"
    assert bvh.repeated(content, 5) == head.format(5) + "0\n1\n2\n0\n1\n"
    assert bvh.repeated(content, 8, every=3) == head.format(3) + "0\n0\n0\n"
    assert bvh.repeated(content, 8, every=2) == head.format(4) + "0\n2\n1\n0\n"
    with pytest.raises(ValueError, match="expected MOTION, Frames:, Frame Time: and a row"):
        bvh.repeated("HIERARCHY\n", 3)


def test_both_give_the_same_positions(tmp_path, monkeypatch, capsys):
    joints = motion_files.human()
    path = motion_files.write_bvh(tmp_path / "a.bvh", joints, motion_files.swing(joints, 5))
    names, places = bvh.with_ours(path)
    other_names, other = bvh.with_bvhio(path)
    assert names == other_names and places.shape == other.shape == (5, 22, 3)
    np.testing.assert_allclose(places, other, atol=1e-3)
    output = tmp_path / "report.json"
    options = ["--frames=12", "--every=3", "--rounds=1", f"--output={output}"]
    monkeypatch.setattr(sys, "argv", ["bvh", str(path), *options])
    bvh.main()
    assert "12 frames of 22 joints" in capsys.readouterr().out
    report = json.loads(output.read_text("utf-8"))
    assert report["largest_difference"] < 1e-3 and report["ratio"]["median"] > 0

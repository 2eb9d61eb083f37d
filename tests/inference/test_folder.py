"""A folder of clips encoded for search."""

import json
import os

import numpy as np
import pytest
from bodies import body

import motionalign
from motionalign.inference.encoder import Encoder
from motionalign.inference.folder import encode_folder


@pytest.fixture
def clips(tmp_path):
    """Four valid clips and three invalid files."""
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    for name, frames in (("b", 60), ("a", 30), ("deep/c", 200), ("d", 7)):
        np.save(folder / f"{name}.npy", body(frames, seed=frames))
    np.save(folder / "other.npy", body(9, "kit21"))
    (folder / "text.npy").write_text("no array")
    (folder / "empty.npy").touch()
    (folder / "notes.txt").touch()
    return folder


def test_what_is_written(folders, clips, tmp_path, capsys):
    encoded = encode_folder(folders["captions"], clips, tmp_path / "out.npz")
    assert capsys.readouterr().out == ""
    with np.load(tmp_path / "out.npz") as found:
        assert found["ids"].tolist() == encoded.ids == ["a", "b", "d", "deep/c"]
        skipped = json.loads(str(found["skipped"]))
        assert found["cut"].tolist() == encoded.cut == ["deep/c"]  # 200 frames at 60, 67 at 20
        embeddings = found["embeddings"]
    assert [item["id"] for item in skipped] == ["empty", "other", "text"]
    assert "expected [frames >= 2, 22, 3]" in skipped[1]["reason"]
    assert skipped == encoded.skipped
    model = motionalign.load(folders["captions"])
    files = [np.load(clips / f"{name}.npy") for name in encoded.ids]
    np.testing.assert_allclose(embeddings, model.encode_motion(files, fps=60), atol=1e-6)
    assert encoded.fps == 60  # of the raw files that it was trained on


def test_the_summary_reports_encoded_cut_and_skipped_clips(folders, clips, tmp_path):
    lines = encode_folder(folders["captions"], clips, tmp_path / "out.npz").summary().splitlines()
    assert lines[0] == f"4 clips at 60 fps → {tmp_path / 'out.npz'}; 3 skipped"
    assert lines[1].startswith("60 fps is assumed")
    assert lines[2].startswith("They are read with the statistics, unit and frame rate (20 fps)")
    assert lines[3] == "1 are longer than 2.0 s; part used: start; for example deep/c"
    assert lines[5].startswith("  other: a clip has shape (9, 21, 3)")
    assert len(lines) == 7
    frozen = encode_folder(folders["frozen"], clips, tmp_path / "out.npz", fps=20).summary()
    assert "at 20 fps" in frozen
    assert "3 are longer than 0.6 s; part used: middle; for example " in frozen


def test_lengths_count_by_the_euclidean_distance(folders, clips, tmp_path):
    """Embeddings keep their length only for models with the Euclidean distance."""
    for name in ("captions", "frozen"):
        encode_folder(folders[name], clips, tmp_path / "out.npz")
        lengths = np.linalg.norm(np.load(tmp_path / "out.npz")["embeddings"], axis=1)
        assert np.allclose(lengths, 1, atol=1e-5) == (name == "captions")


def test_another_dataset_of_the_model(folders, clips, tmp_path):
    encoded = encode_folder(folders["captions"], clips, tmp_path / "out.npz", 25, "other")
    assert encoded.ids == ["other"]
    assert len(encoded.skipped) == 6


def test_folders_that_cannot_be_encoded(folders, tmp_path):
    with pytest.raises(ValueError, match=r"--output=out\.npy: expected a name that ends in \.npz"):
        encode_folder(folders["captions"], tmp_path, "out.npy")
    with pytest.raises(ValueError, match=r"contains no \.npy files"):
        encode_folder(folders["captions"], tmp_path, tmp_path / "out.npz")
    np.save(tmp_path / "a.npy", np.zeros((5, 3)))
    with pytest.raises(
        ValueError, match=r"none of the 1 clips is valid; the first, a: .* shape \(5, 3\)"
    ):
        encode_folder(folders["captions"], tmp_path, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_clips_whose_output_is_not_finite_are_skipped(folders, clips, tmp_path, monkeypatch):
    """Neither written to a file nor returned."""
    original = Encoder.motions

    def motions(self, params, get, num_frames, progress=None):
        vectors = original(self, params, get, num_frames, progress)
        vectors[1] = np.nan
        return vectors

    monkeypatch.setattr(Encoder, "motions", motions)
    encoded = encode_folder(folders["captions"], clips, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as found:
        assert found["ids"].tolist() == encoded.ids == ["a", "d", "deep/c"]
        assert found["embeddings"].shape[0] == 3
        assert np.isfinite(found["embeddings"]).all()
        reasons = {item["id"]: item["reason"] for item in json.loads(str(found["skipped"]))}
    assert "the model's output is not finite" in reasons["b"]
    model = motionalign.load(folders["captions"])
    files = [np.load(clips / f"{name}.npy") for name in "abd"]
    with pytest.raises(ValueError, match="output for clip 1 is not finite"):
        model.encode_motion(files, fps=60)


def test_a_damaged_header_is_counted_and_stops_nothing(folders, clips, tmp_path):
    data = (clips / "a.npy").read_bytes()
    np.save(clips / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    for place in range(8, 128):  # NumPy fails in many ways on headers with one wrong bit
        for bit in (0, 3, 6):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            (clips / f"flipped-{place:03d}-{bit}.npy").write_bytes(flipped)
    os.mkfifo(clips / "pipe.npy")
    encoded = encode_folder(folders["captions"], clips, tmp_path / "out.npz")
    assert {"a", "b", "d", "deep/c"} <= {*encoded.ids}
    reasons = {item["id"]: item["reason"] for item in encoded.skipped}
    assert reasons.keys() | {*encoded.ids} >= {path.stem for path in clips.glob("*.npy")}
    assert "pipe.npy is a pipe" in reasons["pipe"]
    assert "Python objects" in reasons["object"]
    assert sum("TokenError" in reason or "SyntaxError" in reason for reason in reasons.values())


def test_implausible_clips_are_skipped_or_stop_the_folder(folders, clips, tmp_path):
    output = tmp_path / "out.npz"
    np.save(clips / "cm.npy", body(30, unit=0.01))
    encoded = encode_folder(folders["captions"], clips, output)
    (reason,) = [item["reason"] for item in encoded.skipped if item["id"] == "cm"]
    assert reason.startswith("unit_implausible: the body measures 165 m along its bones")
    for name in ("a", "b", "d", "deep/c"):
        np.save(clips / f"{name}.npy", 100 * np.load(clips / f"{name}.npy"))
    output.unlink()
    message = r"5 of 8 clips are implausible, so nothing was written\. a: .*165 m.*--unit=cm"
    with pytest.raises(ValueError, match=message):
        encode_folder(folders["captions"], clips, output)
    assert not output.exists()
    encoded = encode_folder(folders["captions"], clips, output, unit="cm")
    assert encoded.ids == ["a", "b", "cm", "d", "deep/c"]


def test_wrong_arguments_are_no_faults_of_the_clips(folders, clips, tmp_path):
    output = tmp_path / "out.npz"
    with pytest.raises(ValueError, match=r"^accept='size'; expected one of"):
        encode_folder(folders["captions"], clips, output, accept=["size"])
    with pytest.raises(ValueError, match=r"^the declared joint order lacks left_hip"):
        encode_folder(folders["captions"], clips, output, order=["pelvis"])

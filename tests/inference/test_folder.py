"""A folder of clips encoded for search."""

import json
import os

import motion_files
import numpy as np
import pytest
from bodies import body

import motionalign
from motionalign.anatomy import native, smpl22
from motionalign.anatomy.takes import read_takes
from motionalign.data.resample import resample
from motionalign.inference.encoder import Encoder
from motionalign.inference.folder import encode_folder
from motionalign.skeleton import SKELETONS


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


# ------------------------------------------------------------------------ files of other formats


def write_bvh(path, seed=0, frames=60, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    joints = motion_files.human(**options)
    return motion_files.write_bvh(path, joints, motion_files.swing(joints, frames, seed=seed))


def write_pair(path, frames=60):
    """Two persons in a labelled set of one clip, at 30 fps."""
    pair = [body(frames, seed=i) + np.array([i, 0, 0], np.float32) for i in range(2)]
    skeleton = SKELETONS["smpl22"]
    names = {"joint_names": np.array(skeleton.joint_names), "parents": np.array(skeleton.parents)}
    np.savez(path, positions=np.stack(pair, axis=1), lengths=[frames], fps=30.0, **names)


@pytest.fixture
def mixed(tmp_path):
    """Files of several formats, spoiled ones, and some that are no motion."""
    folder = tmp_path / "mixed"
    write_bvh(folder / "a.bvh")
    write_bvh(folder / "deep" / "b.bvh", seed=1, prefix="mixamorig:")
    write_pair(folder / "pair.npz")
    np.save(folder / "a.npy", body(40, seed=3))
    (folder / "spoiled.bvh").write_text("HIERARCHY\nROOT")
    (folder / "labels.csv").write_text("id,action\n")
    (folder / "readme.md").touch()
    return folder


def test_files_of_all_formats(folders, mixed, tmp_path):
    output = mixed / "out.npz"
    for _ in range(2):  # its own output is no motion file
        encoded = encode_folder(folders["captions"], mixed, output)
        assert encoded.ids == ["a.bvh", "a.npy", "deep/b", "pair#1", "pair#2"]
        assert [item["id"] for item in encoded.skipped] == ["spoiled"]
    assert encoded.skipped[0]["reason"].startswith("spoiled.bvh, line 2")
    lines = encoded.summary().splitlines()
    assert lines[0] == f"5 clips → {output}; 1 skipped"
    assert "1 .npy" in lines[1] and "2 labelled set (SMPL)" in lines[1] and "BVH (" in lines[1]
    assert lines[1].endswith("at 30, 60 fps")
    assert "if the .npy clips have another one" in lines[2]
    assert lines[1].startswith("Read from ")
    assert lines[-1] == "Left out: 2 files of other kinds"
    vectors = dict(zip(encoded.ids, np.load(output)["embeddings"]))
    model = motionalign.load(folders["captions"])
    (take,) = read_takes(mixed / "a.bvh")
    joints = smpl22(take.motion, take.body).joints[:, 0]
    expected = model.encode_motion(joints, fps=take.fps)
    np.testing.assert_allclose(vectors["a.bvh"], expected, atol=1e-6)
    np.testing.assert_allclose(
        vectors["a.npy"], model.encode_motion(np.load(mixed / "a.npy"), fps=60), atol=1e-6
    )
    second = body(60, seed=1) + np.array([1, 0, 0], np.float32)
    np.testing.assert_allclose(vectors["pair#2"], model.encode_motion(second, fps=30), atol=1e-5)


def test_a_wrong_unit_of_files_is_better_left_out(folders, mixed, tmp_path):
    output, file = tmp_path / "out.npz", mixed / "deep" / "b.bvh"
    advice = r"Without --unit=m, the unit of each file is found\. If "
    with pytest.raises(ValueError, match=advice):
        encode_folder(folders["captions"], file, output, unit="m")
    assert encode_folder(folders["captions"], file, output).ids == ["b"]


def test_one_file(folders, mixed, tmp_path):
    encoded = encode_folder(folders["captions"], mixed / "deep" / "b.bvh", tmp_path / "out.npz")
    assert encoded.ids == ["b"]
    assert encoded.kinds == "1 BVH (Mixamo)"
    assert not encoded.assumed


def test_a_classifier_of_files(folders, mixed, tmp_path):
    encoded = encode_folder(folders["classes"], mixed, tmp_path / "out.csv")
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows[1:]] == list(encoded.ids)
    assert len(rows) == 6


def test_files_that_state_no_rate_need_one(folders, tmp_path):
    skeleton = SKELETONS["smpl22"]
    names = {"joint_names": skeleton.joint_names[::-1], "unit": "cm", "up": "z"}
    (tmp_path / "c.skeleton.json").write_text(json.dumps(names))
    clip = body(40, seed=3)
    turned = 100 * clip[:, ::-1][..., [0, 2, 1]] * np.array([1, -1, 1], np.float32)
    np.save(tmp_path / "c.npy", turned)
    with pytest.raises(ValueError, match=r"states no frame rate: give it by --fps"):
        encode_folder(folders["captions"], tmp_path, tmp_path / "out.npz")
    encoded = encode_folder(folders["captions"], tmp_path, tmp_path / "out.npz", fps=20)
    expected = motionalign.load(folders["captions"]).encode_motion(clip, fps=20)
    np.testing.assert_allclose(np.load(encoded.output)["embeddings"][0], expected, atol=1e-4)


def test_in_two_dimensions_and_no_bodies_are_refused_by_name(folders, mixed, tmp_path):
    flat = {"joint_names": SKELETONS["coco18"].joint_names, "dims": 2, "fps": 20}
    (mixed / "flat.skeleton.json").write_text(json.dumps(flat))
    np.save(mixed / "flat.npy", np.random.default_rng(0).uniform(size=(20, 18, 3)))
    joints = [motion_files.Joint(name, i - 1, (1.0, 2.0, 0.0)) for i, name in enumerate("xyz")]
    motion_files.write_bvh(mixed / "prop.bvh", joints, motion_files.swing(joints, 9))
    encoded = encode_folder(folders["captions"], mixed, tmp_path / "out.npz")
    reasons = {item["id"]: item["reason"] for item in encoded.skipped}
    assert reasons.keys() == {"spoiled", "flat", "prop"}
    assert "prop.bvh: " in reasons["prop"] and "human body" in reasons["prop"]
    assert "flat.npy" in reasons["flat"]


def test_a_model_of_another_skeleton_reads_files_with_its_joints(folders, tmp_path):
    kinect = SKELETONS["kinect20"]
    clips = tmp_path / "clips"
    clips.mkdir()
    np.save(clips / "own.npy", body(40, "kinect20"))
    names = {"joint_names": kinect.joint_names, "parents": kinect.parents, "fps": 30}
    (clips / "other.skeleton.json").write_text(json.dumps(names))
    np.save(clips / "other.npy", body(40, "kinect20"))
    write_bvh(clips / "mixamo.bvh")
    encoded = encode_folder(folders["kinect"], clips, tmp_path / "out.npz")
    assert encoded.ids == ["other", "own"]
    vectors = np.load(tmp_path / "out.npz")["embeddings"]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    (skipped,) = encoded.skipped
    assert "has not the joints of skeleton 'kinect20': no hip_center" in skipped["reason"]


def test_native_joints_have_their_own_statistics(folders, tmp_path):
    clips = tmp_path / "clips"
    for i in range(3):
        write_bvh(clips / f"{i}.bvh", seed=i)
    write_bvh(clips / "other.bvh", prefix="other:")
    encoded = encode_folder(folders["captions"], clips, tmp_path / "out.npz", joints="native")
    assert encoded.ids == ["0", "1", "2"]
    assert "another skeleton than 3 other clips" in encoded.skipped[0]["reason"]
    assert "the statistics of these clips themselves" in encoded.summary()
    found = json.loads(str(np.load(tmp_path / "out.npz")["statistics"]))
    assert found["of"] == "these clips"
    assert "LeftForeArm" in found["joint_names"]
    joints = []
    for i in range(3):
        (take,) = read_takes(clips / f"{i}.bvh")
        _, own = native(take.motion, take.body)
        joints.append(resample(own[:, 0], take.fps, 20.0))
    frames = np.concatenate(joints)
    np.testing.assert_allclose(found["mean"], frames.mean(0), atol=1e-4)
    assert "statistics" not in np.load(
        encode_folder(folders["captions"], clips, tmp_path / "out.npz").output
    )
    with pytest.raises(ValueError, match="fit models of motion patches only"):
        encode_folder(folders["frozen"], clips, tmp_path / "out.npz", joints="native")
    with pytest.raises(ValueError, match="joints='own'; expected one of as trained, native"):
        encode_folder(folders["captions"], clips, tmp_path / "out.npz", joints="own")


def test_files_from_python(folders, mixed, tmp_path):
    model = motionalign.load(folders["captions"])
    paths = [mixed / "a.bvh", mixed / "pair.npz"]
    ids, vectors = model.encode_files(paths)
    assert ids == [str(paths[0]), f"{paths[1]}#1", f"{paths[1]}#2"]
    encoded = encode_folder(folders["captions"], mixed, tmp_path / "out.npz")
    rows = [encoded.ids.index(name) for name in ("a.bvh", "pair#1", "pair#2")]
    np.testing.assert_allclose(vectors, np.load(encoded.output)["embeddings"][rows], atol=1e-6)
    one, vector = model.encode_files(str(paths[0]))
    assert one == ids[:1] and vector.shape == (1, vectors.shape[1])
    with pytest.raises(ValueError, match=r"spoiled.bvh, line 2"):
        model.encode_files([paths[0], mixed / "spoiled.bvh"])
    with pytest.raises(ValueError, match=r"a.npy states no frame rate"):
        model.encode_files(mixed / "a.npy")
    assert len(model.encode_files(mixed / "a.npy", fps=20)[0]) == 1
    classifier = motionalign.load(folders["classes"])
    _, clips = classifier.prepare_files(paths)
    assert classifier.classify_prepared(clips).shape == (3, 3)


def test_real_files_of_many_makers(folders, real_files, tmp_path):
    encoded = encode_folder(folders["captions"], real_files / "bvh", tmp_path / "out.npz")
    assert {"cmu_cgspeed_12_01_walk", "mixamorig_freebvh", "momask_output"} <= {*encoded.ids}
    assert "BVH (Mixamo)" in encoded.kinds
    assert len(encoded.ids) + len(encoded.skipped) == 20

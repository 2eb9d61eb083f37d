import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import pytest
import tensorflow_datasets as tfds
from bodies import body

from data_prep import builders
from data_prep.builders import prepare, statistics
from data_prep.readers import Caption, Clips
from data_prep.readers.humanml3d import HumanML3D
from data_prep.readers.kit_ml import KitML
from motionalign import digests
from motionalign.data.dataset import (
    CAPTION_VECTORS,
    UNFINISHED_VECTORS,
    Dataset,
    hold_dataset,
    write_caption_vectors,
)
from motionalign.data.resample import kit_ml_frames
from motionalign.files import InUse
from motionalign.patches import motion_patches

ROOT = pathlib.Path(__file__).parents[2]


def small(published, frames=30):
    for i in range(6):
        published.clip(f"{i:03d}", frames=frames + i, lines=["walks", "sits#x#0.2#1.0"])
    return published.clip("020", "val").clip("010", "test").mirrored("M010", "test")


def run(published, data_dir, name="small", **options):
    return prepare(lambda: HumanML3D(published.folder), data_dir, name, **options)


def fingerprint_of(folder) -> str:
    return json.loads((folder / "metadata.json").read_text())["fingerprint"]


def with_tfds(folder, split) -> dict:
    """The records of a split as read by TFDS, by id."""
    dataset = tfds.builder_from_directory(folder).as_dataset(split=split)
    return {example["id"].decode(): example for example in tfds.as_numpy(dataset)}


def test_tfds_reads_back_the_source_data(published, tmp_path):
    small(published)
    folder = run(published, tmp_path)
    assert folder == tmp_path / "small" / "1.0.0"
    metadata = json.loads((folder / "metadata.json").read_text())
    skeleton = HumanML3D.skeleton

    train = with_tfds(folder, "train")
    assert set(train) == {f"{i:03d}{k}" for i in range(6) for k in ("", "#1")}
    for i in range(6):
        joints = published.joints(f"{i:03d}")
        whole, cut = train[f"{i:03d}"], train[f"{i:03d}#1"]
        np.testing.assert_array_equal(whole["joints"][:, 0], joints)
        np.testing.assert_array_equal(cut["joints"][:, 0], joints[4:20])
        patches = motion_patches(joints, skeleton, metadata["mean"], metadata["std"])
        np.testing.assert_array_equal(whole["patches"][:, 0], patches.astype(np.float16))
        np.testing.assert_array_equal(cut["patches"], whole["patches"][4:20])
        assert whole["source"] == cut["source"] == f"{i:03d}".encode()
        assert (list(whole["captions"]), list(cut["captions"])) == ([b"walks"], [b"sits"])
        assert (whole["first_line"], cut["first_line"]) == (0, 1)
        np.testing.assert_array_equal(whole["span"], [0, 0])
        np.testing.assert_array_equal(cut["span"], np.float32([0.2, 1.0]))
        assert whole["fps"] == 20
    twins = {key: example["mirrored_of"] for key, example in with_tfds(folder, "test").items()}
    assert twins == {"010": b"", "M010": b"010"}

    expected = {
        "name": "small",
        "skeleton": skeleton.to_dict(),
        "patch_size": 16,
        "fps": 20.0,
        "source_fps": 20.0,
        "unit_in_metres": 1.0,
    }
    assert metadata | expected == metadata
    report = json.loads((folder / "report.json").read_text())
    assert (report["read"], report["kept"], report["records"]) == (9, 9, 15)


def test_our_reader_agrees_with_tfds(published, tmp_path):
    folder = run(small(published), tmp_path)
    ours = Dataset(tmp_path, "small").split("train")
    theirs = with_tfds(folder, "train")
    assert ours.ids == sorted(theirs)
    for i, name in enumerate(ours.ids):
        for field in ("joints", "patches", "span", "first_line", "fps"):
            np.testing.assert_array_equal(ours[i][field], theirs[name][field])


def test_kit_records_are_resampled_after_cutting(published_kit, tmp_path):
    published_kit.clip("a", frames=40, lines=["walks#x#1.0#3.0", "runs"])
    folder = prepare(lambda: KitML(published_kit.folder), tmp_path, "kit")
    records = with_tfds(folder, "train")
    index = kit_ml_frames(25)
    assert records["a#0"]["patches"].shape == (42, 1, 80, 3)
    np.testing.assert_array_equal(
        records["a#0"]["joints"][:, 0], published_kit.joints("a")[12:37][index]
    )
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (metadata["unit_in_metres"], metadata["source_fps"], metadata["fps"]) == (None, 12.5, 20)
    # Each source frame counts once in the statistics, however often resampling repeats it.
    np.testing.assert_array_equal(
        metadata["mean"], published_kit.joints("a").astype(np.float64).mean(0)
    )


def test_own_clips_at_60_fps(published, tmp_path):
    """Seconds in captions refer to the clips' own frame rate; records are at 20 fps."""
    published.clip("a", frames=181, lines=["walks#x#1.0#2.0", "runs"])
    folder = prepare(lambda: HumanML3D(published.folder, fps=60), tmp_path, "mine")
    records = with_tfds(folder, "train")
    raw = published.joints("a")
    np.testing.assert_allclose(records["a"]["joints"][:, 0], raw[::3], rtol=1e-6)
    np.testing.assert_allclose(records["a#0"]["joints"][:, 0], raw[60:120:3], rtol=1e-6)
    assert json.loads((folder / "metadata.json").read_text())["source_fps"] == 60
    lengths = {i: len(record["patches"]) for i, record in records.items()}
    assert lengths == {"a": 61, "a#0": 20}
    with pytest.raises(ValueError, match="--fps=0"):
        HumanML3D(published.folder, fps=0)


@pytest.mark.parametrize("patch_size", [8, 32])
def test_patch_sizes(published, tmp_path, patch_size):
    folder = run(published.clip("a"), tmp_path, patch_size=patch_size)
    assert with_tfds(folder, "train")["a"]["patches"].shape == (30, 1, 5 * patch_size, 3)


def test_statistics_are_those_of_all_frames_bit_for_bit():
    rng = np.random.default_rng(0)
    clips = [rng.normal(3, 5, (n, 1, 22, 3)).astype(np.float32) for n in (3, 200, 41, 2)]
    mean, std = statistics(lambda: iter(clips))
    together = np.concatenate(clips)[:, 0].astype(np.float64)
    np.testing.assert_array_equal(mean, together.mean(0))
    np.testing.assert_array_equal(std, together.std(0))


def test_a_constant_coordinate_has_standard_deviation_one():
    clip = np.random.default_rng(0).normal(size=(50, 1, 22, 3)).astype(np.float32)
    clip[:, :, 0, 1] = 0.1
    mean, std = statistics(lambda: [clip, clip[:7]])
    assert std[0, 1] == 1
    np.testing.assert_allclose(mean[0, 1], np.float32(0.1), rtol=1e-12)
    assert (np.delete(std.ravel(), 1) < 2).all()


def test_absent_persons_do_not_count_in_statistics():
    rng = np.random.default_rng(0)
    clips = [rng.normal(3, 2, (frames, 2, 4, 3)).astype(np.float32) for frames in (5, 7)]
    clips[0][2:, 1] = clips[1][:, 1] = 0
    there = np.concatenate([clips[0][:, 0], clips[0][:2, 1], clips[1][:, 0]]).astype(float)
    mean, std = statistics(lambda: clips)
    np.testing.assert_allclose(mean, there.mean(0))
    np.testing.assert_allclose(std, there.std(0))
    # A single person is never absent: zeros are what the file says.
    alone = [clips[1][:, 1:]]
    np.testing.assert_array_equal(statistics(lambda: alone)[0], np.zeros((4, 3)))


def test_a_person_who_comes_is_not_blended_with_zeros():
    """At 30 for 20 fps, every other frame lies between two; next to an absence it is absent."""
    joints = np.ones((6, 2, 4, 3), np.float32)
    joints[:3, 1] = 0
    cut = builders._resampled(joints, 20, 30)
    np.testing.assert_array_equal(cut[:, 0], np.ones_like(cut[:, 0]))
    assert set(np.unique(cut[:, 1])) == {0.0, 1.0}
    assert cut[:, 1, 0, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert 0 < builders._resampled(joints[:, 1:], 20, 30)[4, 0, 0, 0] < 1  # one person


def test_the_same_clips_give_the_same_bytes_in_any_order_and_process(published, tmp_path):
    small(published)
    source = {"command": "humanml3d", "raw_dir": str(published.folder), "captions": "published"}
    source |= {"split": None, "fps": 20.0}
    first = run(published, tmp_path / "first", source=source)
    names = (published.folder / "train.txt").read_text().split()
    (published.folder / "train.txt").write_text("\n".join(names[::-1]))
    # In another process, with another hash seed.
    raw_dir, data_dir = f"--raw_dir={published.folder}", f"--data_dir={tmp_path / 'second'}"
    command = [sys.executable, "-m", "data_prep", "humanml3d", raw_dir, data_dir, "--name=small"]
    subprocess.run(command, check=True, timeout=300, cwd=ROOT)
    second = tmp_path / "second" / "small" / "1.0.0"
    assert sorted(p.name for p in first.iterdir()) == sorted(p.name for p in second.iterdir())
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_statistics_use_train_sources_only(published, tmp_path):
    folder = run(small(published), tmp_path)
    together = np.concatenate([published.joints(f"{i:03d}") for i in range(6)]).astype(np.float64)
    metadata = json.loads((folder / "metadata.json").read_text())
    np.testing.assert_array_equal(metadata["mean"], together.mean(0))
    np.testing.assert_array_equal(metadata["std"], together.std(0))


def test_mirror_equals_a_dataset_with_published_twins(published, tmp_path):
    made = run(published.clip("a").clip("b", "val"), tmp_path / "made", mirror=True)
    for name, split in (("a", "train"), ("b", "val")):
        published.clip("M" + name, split)
        mirrored = HumanML3D.skeleton.mirrored(published.joints(name))
        np.save(published.motion("M" + name), mirrored)
    came = run(published, tmp_path / "came")
    assert (made / "metadata.json").read_bytes() == (came / "metadata.json").read_bytes()
    for split in ("train", "val"):
        shard = f"small-{split}.tfrecord-00000-of-00001"
        assert (made / shard).read_bytes() == (came / shard).read_bytes()


def test_an_existing_dataset_is_kept_unless_overwritten(published, tmp_path, capsys):
    said = []
    folder = run(published.clip("a"), tmp_path, say=said.append)
    assert said[0].startswith("split  read  kept") and said[1:] == [f"prepared {folder}"]
    before = (folder / "metadata.json").stat().st_mtime_ns
    said.clear()
    assert run(published, tmp_path, say=said.append) == folder
    assert said == [f"{folder} is already prepared and is kept; --overwrite prepares it again"]
    assert (folder / "metadata.json").stat().st_mtime_ns == before
    run(published, tmp_path, patch_size=8, overwrite=True)
    assert json.loads((folder / "metadata.json").read_text())["patch_size"] == 8
    assert [path.name for path in tmp_path.iterdir() if path.name != "raw"] == ["small"]
    assert capsys.readouterr().out == ""  # only commands print


def test_an_existing_dataset_with_other_options_is_an_error(tmp_path, published):
    said = []

    def again(**options):
        make_reader = lambda: pytest.fail("nothing to read")  # noqa: E731
        prepare(make_reader, tmp_path, "small", **options, say=said.append)

    source = {"command": "humanml3d", "raw_dir": "/here", "seed": 0}
    folder = run(published.clip("a"), tmp_path, patch_size=8, source=source)
    assert json.loads((folder / "report.json").read_text())["options"] == {
        "patch_size": 8, "min_frames": 2, "mirror": False, **source
    }  # fmt: skip
    for options, differs in (
        ({}, "patch_size=8, not 16"),
        ({"mirror": True, "patch_size": 8}, "mirror=False, not True"),
        ({"min_frames": 9}, "patch_size=8, not 16; min_frames=2, not 9"),
        ({"source": {"seed": 1}, "patch_size": 8}, "seed=0, not 1"),
    ):
        with pytest.raises(ValueError, match=f"was prepared with {differs}. Choose another --na"):
            again(**options)
    # The same files in another folder are the same dataset; the message names the first one.
    again(patch_size=8, source={**source, "raw_dir": "/there"})
    assert "is already prepared from /here and is kept" in said[0]


def test_paths_may_change_but_not_whether_they_are_given(tmp_path, published):
    source = {"raw_dir": "/here", "extra_dir": "/extra"}
    paths = ("raw_dir", "extra_dir", "other_dir")
    folder = run(published.clip("a"), tmp_path, source=source, paths=paths)
    moved = {"raw_dir": "/there", "extra_dir": "/moved"}
    assert run(published, tmp_path, source=moved, paths=paths) == folder
    for folder in ("before", "now"):
        (tmp_path / folder).mkdir()
    source["raw_dir"] = str(tmp_path / "before")
    run(published, tmp_path, source=source, paths=paths, overwrite=True)
    other = source | {"raw_dir": str(tmp_path / "now")}
    with pytest.raises(ValueError, match=r"with --raw_dir=.*before, not .*now\. Choose another"):
        run(published, tmp_path, source=other, paths=paths)
    (tmp_path / "before").rmdir()
    run(published, tmp_path, source=other, paths=paths)  # it was moved
    with pytest.raises(ValueError, match=r"prepared with --extra_dir; no --other_dir\. Choose"):
        run(published, tmp_path, source={"raw_dir": "/here", "other_dir": "/o"}, paths=paths)


def test_notes_of_the_reader_come_first(tmp_path):
    class Noted(Labelled):
        notes = ("a text was left out", "and a label")

    said = []
    prepare(Noted, tmp_path, "labelled", say=said.append)
    assert said[:2] == ["a text was left out", "and a label"]
    assert said[2].startswith("split ")


def test_an_incomplete_dataset_writes_nothing(published, tmp_path):
    published.clip("a").clip("b", "test")
    published.motion("b").unlink()
    with pytest.raises(ValueError, match=r"test: 1 of 1: 1 motion_missing\n.*no file"):
        run(published, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_invalid_options_are_rejected(published, tmp_path):
    with pytest.raises(ValueError, match="--name=My Data"):
        run(published, tmp_path, name="My Data")
    with pytest.raises(ValueError, match="--min_frames=0"):
        run(published, tmp_path, min_frames=0)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--data_dir=.*file is a file"):
        run(published, tmp_path / "file")


def test_an_empty_split_is_left_out(published, tmp_path):
    folder = run(published.clip("a").clip("b", "val", frames=1), tmp_path)
    assert json.loads((folder / "report.json").read_text())["splits"]["val"]["kept"] == 0
    assert not list(folder.glob("*val*"))
    assert list(with_tfds(folder, "train")) == ["a"]


def test_dissimilar_subset_is_kept(published, tmp_path):
    published.clip("a").clip("b", "test").clip("c", "test")
    (published.folder / "nsim_test.txt").write_text("c\nb\n")
    assert (run(published, tmp_path) / "dissimilar-test.txt").read_text() == "c\nb\n"


@pytest.mark.parametrize("mirror", [False, True])
def test_a_clip_in_other_units_is_dropped(published, tmp_path, mirror):
    published.clip("a").clip("b", "test", lines=["walks", "#x#0#0"]).clip("c", "test")
    np.save(published.motion("b"), published.joints("b") * 1e6)
    folder = run(published, tmp_path, mirror=mirror, accept=["unit_implausible"])
    assert set(with_tfds(folder, "test")) == ({"c", "Mc"} if mirror else {"c"})
    report = json.loads((folder / "report.json").read_text())
    (entry,) = report["dropped"]
    assert (entry["id"], entry["split"], entry["reason"]) == ("b", "test", "not_finite")
    assert "overflows float16. Is the clip in other units?" in entry["detail"]
    assert report["captions_dropped"] == []  # of kept sources
    assert (report["kept"], report["read"]) == ((4, 5) if mirror else (2, 3))


def test_clips_in_memory(published, tmp_path):
    class Clip:
        def __init__(self, name, split):
            self.id, self.split, self.captions = name, split, ["walks", "strolls"]
            self.joints = body(25, seed=len(name))

    clips = [Clip("a", "train"), Clip("bb", "train"), Clip("ccc", "test")]
    folder = prepare(lambda: Clips(clips), tmp_path, "memory")
    assert set(with_tfds(folder, "train")) == {"a", "bb"}
    assert list(with_tfds(folder, "test")["ccc"]["captions"]) == [b"walks", b"strolls"]
    with pytest.raises(ValueError, match="two clips have the id 'a'"):
        Clips([*clips, Clip("a", "val")])


@pytest.mark.parametrize(
    "module, function", [("motionalign.files", "write_json"), ("data_prep.survey", "tqdm")]
)
def test_a_killed_run_leaves_nothing_that_looks_complete(published, tmp_path, module, function):
    small(published)
    script = f"""
        import os, signal, {module} as module
        from data_prep.__main__ import main
        module.{function} = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
        main(["humanml3d", "--raw_dir={published.folder}", "--data_dir={tmp_path}/data"])
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=300, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    # A scratch folder may exist, but no dataset.
    assert not (tmp_path / "data" / "humanml3d").exists()
    again = run(published, tmp_path / "data", "humanml3d")
    clean = run(published, tmp_path / "clean", "humanml3d")
    assert os.listdir(tmp_path / "data") == ["humanml3d"]
    for path in clean.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_overwriting_loses_nothing_before_the_new_one_is_complete(published, tmp_path, monkeypatch):
    folder = run(published.clip("a"), tmp_path)
    before = (folder / "metadata.json").read_bytes()
    monkeypatch.setattr("motionalign.data.records.write_index", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(published, tmp_path, patch_size=8, overwrite=True)
    assert (folder / "metadata.json").read_bytes() == before
    assert not (tmp_path / ".small.incomplete").exists()


def test_an_interrupt_during_a_swap_restores_the_old_dataset(published, tmp_path, monkeypatch):
    folder = run(published.clip("a"), tmp_path)
    before = (folder / "metadata.json").read_bytes()
    rename = pathlib.Path.rename

    def interrupted(path, target):
        if path.parent.parent == tmp_path / ".small.incomplete":  # the new dataset
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(published, tmp_path, patch_size=8, overwrite=True)
    assert (folder / "metadata.json").read_bytes() == before
    assert not (tmp_path / ".small.incomplete").exists()


def test_a_kill_during_a_swap_loses_nothing(published, tmp_path):
    folder = run(published.clip("a"), tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    script = f"""
        import os, pathlib, signal
        from data_prep import builders
        from data_prep.builders import prepare
        from data_prep.readers.humanml3d import HumanML3D
        rename = pathlib.Path.rename
        def killed(path, target):
            rename(path, target)
            if target.name == builders._REPLACED:
                os.kill(os.getpid(), signal.SIGKILL)
        pathlib.Path.rename = killed
        prepare(lambda: HumanML3D("{published.folder}"), "{tmp_path}", "small", overwrite=True)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=300, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert not folder.exists()
    said = []
    run(published, tmp_path, say=said.append)
    assert "is already prepared" in said[0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_next_run_removes_leftovers(published, tmp_path):
    folder = run(published.clip("a"), tmp_path)
    scratch = tmp_path / ".small.incomplete"
    (scratch / "small").mkdir(parents=True)  # left by a killed --overwrite
    run(published, tmp_path)
    assert not scratch.exists()
    assert folder.exists()


def test_concurrent_runs_with_the_same_name_are_rejected(published, tmp_path):
    who = f"preparing dataset 'small' is under way already, by process {os.getpid()} on "
    with hold_dataset(tmp_path, "small", "preparing"), pytest.raises(InUse, match=who):
        run(published.clip("a"), tmp_path)
    assert run(published, tmp_path).exists()
    assert os.listdir(tmp_path) == ["raw", "small"] or os.listdir(tmp_path) == ["small", "raw"]


def test_the_fingerprint_is_that_of_the_content(published, tmp_path):
    folder = run(small(published), tmp_path / "data")
    fingerprint = fingerprint_of(folder)
    assert len(fingerprint) == 64
    assert fingerprint_of(run(published, tmp_path / "elsewhere", "other_name")) == fingerprint

    metadata = folder / "metadata.json"  # as older versions wrote it
    stored = json.loads(metadata.read_text())
    del stored["fingerprint"]
    metadata.write_text(json.dumps(stored | {"format_version": 1}))
    (folder / digests.NAME).unlink()
    assert Dataset(tmp_path / "data", "small").fingerprint == fingerprint

    published.text("020").write_text("a person walks on#a/DET#0.0#0.0\n")
    text = fingerprint_of(run(published, tmp_path / "data", overwrite=True))
    joints = published.joints("010")
    np.save(published.motion("010"), joints + np.float32(1e-6) * (joints == joints[3, 2, 1]))
    one_number = fingerprint_of(run(published, tmp_path / "data", overwrite=True))
    assert len({fingerprint, text, one_number}) == 3


def test_a_run_that_surveys_is_alone(published, tmp_path, monkeypatch):
    """The second run surveyed beside the first and replaced its dataset without --overwrite."""
    survey = builders.survey

    def during_survey(*args):
        with pytest.raises(InUse, match="preparing dataset 'small' is under way already"):
            run(published, tmp_path)
        return survey(*args)

    published.clip("a")
    monkeypatch.setattr(builders, "survey", during_survey)
    assert run(published, tmp_path).exists()


def test_a_dataset_called_replaced(published, tmp_path):
    """The scratch folder had a folder of this name itself."""
    folder = run(published.clip("a"), tmp_path, "replaced")
    before = fingerprint_of(folder)
    assert run(published.clip("b"), tmp_path, "replaced", overwrite=True) == folder
    assert fingerprint_of(folder) != before


def test_what_an_older_version_was_replacing_is_put_back(published, tmp_path):
    folder = run(published.clip("a"), tmp_path)
    (folder / CAPTION_VECTORS).write_text("not of the preparation, which would make the rest again")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    scratch = tmp_path / ".small.incomplete"
    scratch.mkdir()
    folder.rename(scratch / "replaced")
    run(published, tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not scratch.exists()


def test_a_read_only_data_dir(published, tmp_path, monkeypatch):
    run(published.clip("a"), tmp_path)
    monkeypatch.setattr(builders, "hold_dataset", lambda *args: 1 / 0)
    said = []
    run(published, tmp_path, say=said.append)
    assert "is already prepared" in said[0]


def test_no_temporary_folder_is_left(published, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    run(published.clip("a"), tmp_path)
    assert not list((tmp_path / "tmp").iterdir())


def test_overwriting_keeps_caption_vectors_that_cover_all_captions(published, tmp_path):
    folder = run(published.clip("a", lines=["walks", "turns left"]), tmp_path)
    vectors = dict.fromkeys(["turns left", "walks", "waves"], np.ones(4, np.float32))
    made_by = {"encoder": "e", "sha256": "0", "readout": "mean"}
    write_caption_vectors(folder / CAPTION_VECTORS, vectors, **made_by)
    before = (folder / CAPTION_VECTORS).read_bytes()
    said = []
    run(published, tmp_path, patch_size=8, overwrite=True, say=said.append)
    assert (folder / CAPTION_VECTORS).read_bytes() == before
    assert "the caption vectors are kept" in said[-2]
    # "turns right" is new
    run(published, tmp_path, mirror=True, overwrite=True, say=said.append)
    assert not (folder / CAPTION_VECTORS).exists()
    assert "run `data_prep embed` again" in said[-2]
    # Those of the other texts are kept for that, also beyond a further preparation.
    run(published, tmp_path, patch_size=8, overwrite=True)
    assert (folder / UNFINISHED_VECTORS).read_bytes() == before


class Labelled(Clips):
    """Clips at 30 fps with labelled captions, some of which overlap."""

    fps = source_fps = 30.0
    label_names = ("walk", "turn left", "turn right")

    def __init__(self, texts=None):
        joints = body(60)
        super().__init__([Clip("a", "train", joints), Clip("b", "test", joints)])
        self._texts = texts or {}

    def captions(self, source):
        return [
            Caption("walk", label=0),
            Caption("turn left", 0.5, 1.0, label=1),
            Caption("turn right", 0.5, 1.0, label=2),
            Caption("somebody moves"),
        ]

    def class_texts(self):
        return self._texts


Clip = collections.namedtuple("Clip", "id split joints")


def test_labelled_captions_yield_separate_records(tmp_path):
    folder = prepare(Labelled, tmp_path, "labelled", mirror=True)
    dataset = Dataset(tmp_path, "labelled")
    assert (dataset.metadata.fps, dataset.metadata.source_fps) == (30, 30)
    test = dataset.split("test")
    assert test.ids == ["Mb", "Mb#0", "Mb#1", "Mb#2", "b", "b#0", "b#1", "b#2"]
    assert test.labels.tolist() == [-1, 0, 2, 1, -1, 0, 1, 2]
    assert test.captions[-4:] == [["somebody moves"], ["walk"], ["turn left"], ["turn right"]]
    assert test.captions[:4] == [["somebody moves"], ["walk"], ["turn right"], ["turn left"]]
    assert test.num_frames.tolist() == [60, 60, 15, 15] * 2
    assert test.first_line.tolist() == [3, 0, 1, 2] * 2
    assert [record["labels"].tolist() for record in test][-4:] == [[], [0], [1], [2]]
    assert test[5]["span"].tolist() == [0, 0]
    assert "rotations" not in test[0]
    assert with_tfds(folder, "test")["b#2"]["labels"].tolist() == [2]


def test_mirroring_to_an_unknown_class_is_an_error(tmp_path):
    class Lopsided(Labelled):
        label_names = ("walk", "turn left", "turn back")

    with pytest.raises(ValueError, match="--mirror: 'turn left' would become 'turn right', which"):
        prepare(Lopsided, tmp_path, "labelled", mirror=True)
    assert prepare(Lopsided, tmp_path, "labelled").exists()


def test_overwriting_keeps_class_texts_and_vectors(tmp_path):
    def again(texts=None):
        said = []
        make_reader = lambda: Labelled(texts)  # noqa: E731
        prepare(make_reader, tmp_path, "labelled", overwrite=True, say=said.append)
        return Dataset(tmp_path, "labelled"), "\n".join(said)

    shipped = {"synonyms": {"walk": ["stroll"]}}
    dataset, _ = again(shipped)
    assert dataset.texts == shipped
    assert again()[0].texts == shipped  # including texts added to the prepared dataset
    other = {"synonyms": {"walk": ["go on foot"]}}
    assert again(other)[0].texts == other

    def embedded(*texts):
        known = dict.fromkeys(texts, np.ones(4, np.float32))
        path = dataset.version_dir / CAPTION_VECTORS
        write_caption_vectors(path, known, encoder="e", sha256="0", readout="mean")

    captions = ("walk", "turn left", "turn right", "somebody moves")
    embedded(*captions, "go on foot")
    assert "the caption vectors are kept" in again()[1]
    embedded(*captions)  # without the synonym
    assert "run `data_prep embed` again" in again()[1]


def test_rotations_are_never_interpolated(tmp_path):
    class Turning(Labelled):
        fps = 20.0
        num_rotations = 22

        def rotations(self, source):
            return np.zeros((60, 1, 22, 6), np.float32)

    with pytest.raises(AssertionError, match=r"\(30\.0, 20\.0\)"):
        prepare(Turning, tmp_path, "turning")


def test_real_clips(mocap_folder, tmp_path):
    raw = mocap_folder
    folder = prepare(lambda: HumanML3D(raw), tmp_path / "data", "humanml3d")
    report = json.loads((folder / "report.json").read_text())
    assert (report["read"], report["kept"], report["dropped"]) == (2902, 2902, [])
    assert report["captions_dropped"] == []
    train = Dataset(tmp_path / "data", "humanml3d").split("train")
    assert len(train) == 2324
    record = train[1000]
    np.testing.assert_array_equal(
        record["joints"][:, 0], np.load(raw / "new_joints" / f"{record['id']}.npy")
    )

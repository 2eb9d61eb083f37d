import csv
import json

import numpy as np
import pytest
from published_files import write_densegait

from data_prep.builders import prepare
from data_prep.readers import InvalidClip
from data_prep.readers.densegait import ATTRIBUTES, COLUMNS, DenseGait
from data_prep.survey import survey
from motionalign.data.dataset import Dataset
from motionalign.data.texts import attribute_classes


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """40 tracks in 50 files in the published layout; read-only."""
    return write_densegait(tmp_path_factory.mktemp("densegait") / "raw")


@pytest.fixture
def raw_dir(tmp_path):
    """A copy of `files` that a test may modify."""
    return write_densegait(tmp_path / "raw")


def table(raw_dir):
    with (raw_dir / "annotations.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_table(raw_dir, rows, columns=("track_id", "file_name", *COLUMNS)):
    with (raw_dir / "annotations.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, columns, extrasaction="ignore")
        out.writeheader()
        out.writerows(rows)


def test_the_attributes_are_the_published_ones(test_data):
    published = json.loads((test_data / "densegait_attributes.json").read_text())
    assert {group: list(columns) for group, columns in ATTRIBUTES.items()} == published
    assert len(COLUMNS) == 42


def test_attribute_names_are_distinct():
    names = [*DenseGait.attribute_names, *DenseGait.attribute_opposites.values()]
    assert len(set(names)) == len(names) == 43
    assert not any("," in name for name in names)
    assert sum(DenseGait.attribute_groups.values(), ()) == DenseGait.attribute_names


def test_tracks(files):
    reader = DenseGait(files)
    row = table(files)[0]
    raw = np.load(files / row["file_name"])
    name = row["file_name"].removesuffix(".npy").replace("/", "-")
    joints = reader.joints(name)
    assert joints.dtype == np.float32
    np.testing.assert_array_equal(joints[:, 0], raw * np.array([1, -1, 1], np.float32))
    np.testing.assert_allclose(reader.attributes(name), [float(row[c]) for c in COLUMNS])
    assert (reader.fps, reader.source_fps, reader.unit_in_metres) == (24, 24, None)
    assert DenseGait(files, fps=30).fps == DenseGait(files, fps=30).source_fps == 30


def test_bodies_are_upright_and_sides_are_correct(files):
    """The checks that the module docstring recommends; these people are seen from the front."""
    reader = DenseGait(files)
    for names in reader.splits().values():
        for name in names:
            x, y, _ = np.moveaxis(reader.joints(name)[:, 0].mean(axis=0), -1, 0)
            joint = {j: i for i, j in enumerate(reader.skeleton.joint_names)}
            assert y[joint["nose"]] > y[joint["neck"]] > y[joint["right_hip"]]
            assert y[joint["right_hip"]] > y[joint["right_ankle"]]
            assert x[joint["right_shoulder"]] < x[joint["left_shoulder"]]


def test_captions_are_the_positive_attributes(raw_dir):
    rows = table(raw_dir)
    for row in rows:
        row |= dict.fromkeys(COLUMNS, 0.1)
    rows[0] |= {"Female": 0.51, "Backpack": 1, "No accessory": 0.2, "Back": 0.9}
    rows[1] |= {"Female": 0.5, "BodyNormal": 0.7, "BodyFat": 0.5}
    write_table(raw_dir, rows)
    reader = DenseGait(raw_dir)
    names = [row["file_name"].removesuffix(".npy").replace("/", "-") for row in rows]
    texts = [caption.text for name in names[:3] for caption in reader.captions(name)]
    assert texts == ["female, seen from the back, backpack", "male, normal weight", "male"]


def test_splits_are_by_track(files):
    reader = DenseGait(files)
    track_of = {
        row["file_name"].removesuffix(".npy").replace("/", "-"): row["track_id"]
        for row in table(files)
    }
    splits = reader.splits()
    tracks = {split: {track_of[name] for name in names} for split, names in splits.items()}
    assert {split: len(of) for split, of in tracks.items()} == {"train": 32, "val": 4, "test": 4}
    assert len(set.union(*tracks.values())) == 40
    assert sum(map(len, splits.values())) == len(track_of) == 50
    assert DenseGait(files).splits() == splits
    assert DenseGait(files, seed=1).splits() != splits


def test_every_bad_track_is_accounted_for(raw_dir):
    rows = table(raw_dir)
    rows[0]["Female"] = "yes"
    rows[1]["Boots"] = "1.01"
    rows[2]["Dress"] = "-0.1"
    rows[3]["Jacket"] = "nan"
    rows[4]["LongSleeve"] = ""
    (raw_dir / rows[5]["file_name"]).unlink()
    np.save(raw_dir / rows[6]["file_name"], np.zeros((30, 17, 3)))
    broken = np.load(raw_dir / rows[7]["file_name"])
    broken[3, 0, 0] = np.nan
    np.save(raw_dir / rows[7]["file_name"], broken)
    (raw_dir / rows[8]["file_name"]).write_bytes(b"\x93NUMPY")
    rows[9]["track_id"] = ""
    rows[10]["file_name"] = ""
    rows.append(dict(rows[11]))
    write_table(raw_dir, rows)
    reader = DenseGait(raw_dir)
    names = [row["file_name"].removesuffix(".npy").replace("/", "-") for row in rows]
    names[10] = "line-12"
    report = survey(reader).report()
    assert {entry["id"]: entry["reason"] for entry in report["dropped"]} == {
        **dict.fromkeys([*names[:5], names[9], "line-12"], "attributes_malformed"),
        names[5]: "motion_missing",
        names[6]: "wrong_shape",
        names[7]: "not_finite",
        names[8]: "motion_unreadable",
        names[11]: "duplicate_id",
    }
    assert report["read"] == 51
    assert report["kept"] == 39
    details = {entry["id"]: entry["detail"] for entry in report["dropped"]}
    assert details[names[0]] == "line 2: Female is 'yes', not a number"
    assert details[names[1]] == "line 3: Boots is 1.01, not a probability from 0 to 1"
    assert details["line-12"] == "line 12 has no file_name"


def test_an_incomplete_row_is_dropped(raw_dir):
    path = raw_dir / "annotations.csv"
    path.write_text(path.read_text().rstrip().rpartition(",")[0])
    last = table(raw_dir)[-1]
    name = last["file_name"].removesuffix(".npy").replace("/", "-")
    with pytest.raises(InvalidClip, match="attributes_malformed: line 51: LongSleeve is None"):
        DenseGait(raw_dir).attributes(name)


def test_malformed_tables_are_rejected(raw_dir):
    rows = table(raw_dir)
    columns = ["track_id", "file_name", *COLUMNS[2:]]
    write_table(raw_dir, rows, columns)
    with pytest.raises(ValueError, match="has no column Female, BodyThin; it has track_id, file"):
        DenseGait(raw_dir)
    write_table(raw_dir, [])
    with pytest.raises(ValueError, match="has a header but no rows"):
        DenseGait(raw_dir)
    rows[1]["file_name"] = rows[0]["file_name"].replace("/", "-")
    write_table(raw_dir, rows)
    with pytest.raises(ValueError, match=r"the files of lines 2 and 3, .* would both get the"):
        DenseGait(raw_dir)
    path = raw_dir / "annotations.csv"
    path.write_bytes(b"track_id\xff\n")
    with pytest.raises(ValueError, match=r"annotations\.csv, line 1: .* not UTF-8"):
        DenseGait(raw_dir)
    path.unlink()
    with pytest.raises(ValueError, match=r"annotations\.csv does not exist; --raw_dir must"):
        DenseGait(raw_dir)
    with pytest.raises(ValueError, match="--fps=0; expected a positive number"):
        DenseGait(raw_dir, fps=0)


def test_prepared(files, tmp_path):
    folder = prepare(lambda: DenseGait(files), tmp_path, "densegait", mirror=True)
    dataset = Dataset(tmp_path, "densegait")
    meta, split = dataset.metadata, dataset.split("test")
    assert (meta.fps, meta.skeleton.dims) == (24, 2)
    assert meta.attribute_groups["body"] == ("slim", "normal weight", "overweight")
    assert meta.attribute_opposites == {"female": "male"}
    assert '"patches"' not in (folder / "features.json").read_text()
    assert split.attributes.shape == (len(split), 42)
    names, of_record = attribute_classes(meta, split)
    reader = DenseGait(files)
    for i, record in enumerate(split):
        assert "patches" not in record
        raw = record["mirrored_of"] or record["source"]
        flip = np.array([-1 if record["mirrored_of"] else 1, 1, 1], np.float32)
        order = list(meta.skeleton.mirror) if record["mirrored_of"] else slice(None)
        joints = reader.joints(raw)
        np.testing.assert_array_equal(record["joints"], joints[:, :, order] * flip)
        assert split.num_frames[i] == len(joints)
        np.testing.assert_array_equal(record["attributes"], reader.attributes(raw))
        np.testing.assert_array_equal(split.attributes[i], record["attributes"])
        assert record["captions"] == [names[of_record[i]]]
        assert record["labels"].tolist() == []
    assert names == sorted(set(names))
    assert set(of_record) == set(range(len(names)))

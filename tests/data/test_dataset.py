"""Prepared datasets: metadata, texts and vectors, and the advice if a dataset is missing."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from motionalign.data.dataset import CLASS_TEXTS, Dataset, Metadata
from motionalign.skeleton import SKELETONS


def test_metadata_round_trip(data_dir):
    metadata = Dataset(data_dir, "tiny").metadata
    assert (metadata.name, metadata.skeleton.name, metadata.patch_size) == ("tiny", "smpl22", 16)
    assert (metadata.fps, metadata.source_fps, metadata.unit_in_metres) == (20, 20, 1)
    assert metadata.mean.shape == metadata.std.shape == (22, 3)
    values = metadata.to_json()
    assert values == json.loads((data_dir / "tiny" / "1.0.0" / "metadata.json").read_text())
    assert values["skeleton"] == SKELETONS["smpl22"].to_dict()
    again = Metadata.from_json(json.loads(json.dumps(values)))
    np.testing.assert_array_equal(again.mean, metadata.mean)
    assert again.to_json() == values
    with pytest.raises(ValueError, match="mirror is missing or unknown"):
        skeleton = {name: v for name, v in values["skeleton"].items() if name != "mirror"}
        Metadata.from_json(values | {"skeleton": skeleton})
    del values["format_version"]  # version 0 stores the name of the skeleton
    with pytest.raises(ValueError, match="unknown skeleton 'smpl24'"):
        Metadata.from_json(values | {"skeleton": "smpl24"})
    # Shared models stored a description next to the name, at first without `dims`.
    named = values | {"skeleton": "ours", "skeleton_description": values["skeleton"]}
    assert Metadata.from_json(named).skeleton == metadata.skeleton
    del named["skeleton_description"]["dims"]
    assert Metadata.from_json(named).skeleton == metadata.skeleton


APPEARANCE = Metadata(
    "people", SKELETONS["coco18"], 16, 24, None, np.zeros((18, 3)), np.ones((18, 3)), 24,
    label_names=("walk", "sit down"),
    attribute_names=("female", "slim", "normal weight", "backpack"),
    attribute_groups={"gender": ("female",), "body": ("slim", "normal weight")},
    attribute_opposites={"female": "male"},
    num_rotations=22,
)  # fmt: skip


def test_metadata_with_classes_round_trip():
    again = Metadata.from_json(json.loads(json.dumps(APPEARANCE.to_json())))
    for field in ("label_names", "attribute_names", "attribute_groups", "attribute_opposites",
                  "num_rotations"):  # fmt: skip
        assert getattr(again, field) == getattr(APPEARANCE, field), field


@pytest.mark.parametrize("rate", [0, None, float("inf"), float("nan")])
def test_an_impossible_frame_rate_in_a_file_is_an_error(rate):
    with pytest.raises(ValueError, match=r"dataset 'people': source_fps=.*; expected a positive"):
        Metadata.from_json(APPEARANCE.to_json() | {"source_fps": rate})


@pytest.mark.parametrize("name", ["mean", "std"])
def test_statistics_that_no_dataset_has(data_dir, name):
    """JSON holds Infinity and NaN."""
    stored = Dataset(data_dir, "tiny").metadata.to_json() | {name: [[float("nan")] * 3] * 22}
    with pytest.raises(ValueError, match=rf"{name}\[0\]\[0\] is nan; expected a finite number"):
        Metadata.from_json(json.loads(json.dumps(stored)))


def test_positive_attributes_in_words():
    assert APPEARANCE.positive_names == ("female", "slim", "normal weight", "backpack", "male")
    rows = np.array([[0.9, 0.2, 0.51, 0.5], [0.5, 0, 0.7, 0.6], [0.1, 0.3, 0.2, 0.1]], np.float32)
    positive = APPEARANCE.positive(rows)
    np.testing.assert_array_equal(
        positive, [[1, 0, 1, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]]
    )  # fmt: skip
    assert positive.dtype == bool
    assert [APPEARANCE.attribute_words(row) for row in positive] == [
        "female, normal weight",
        "male, normal weight, backpack",
        "male",
    ]
    assert APPEARANCE.attribute_words(np.zeros(5, bool)) == "no attribute"
    with pytest.raises(ValueError, match="zip"):
        APPEARANCE.attribute_words(np.zeros(4, bool))


def test_class_texts(copy, tmp_path):
    texts = {"descriptions": {"walk": ["Sie läuft."]}, "synonyms": {"walk": ["stroll"]}}
    (copy / CLASS_TEXTS).write_text(json.dumps(texts, ensure_ascii=False), "utf-8")
    assert Dataset(tmp_path, "tiny").texts == texts


def test_a_dataset_that_is_not_prepared(tmp_path):
    with pytest.raises(ValueError) as error:
        Dataset(tmp_path, "humanml3d")
    for part in (
        "dataset 'humanml3d' is not prepared",
        str(tmp_path / "humanml3d" / "1.0.0" / "metadata.json"),
        "https://github.com/EricGuo5513/HumanML3D",
        f"python -m data_prep humanml3d --data_dir={tmp_path} --raw_dir=",
    ):
        assert part in str(error.value)
    with pytest.raises(ValueError) as error:
        Dataset(tmp_path, "synthetic")
    assert "python -m data_prep synthetic" in str(error.value)
    assert "--raw_dir" not in str(error.value)
    for name, needed in (("babel", "--smplh_dir"), ("densegait", "cosmaadrian/gaitformer")):
        with pytest.raises(ValueError) as error:
            Dataset(tmp_path, name)
        assert f"python -m data_prep {name} --data_dir=" in str(error.value)
        assert needed in str(error.value)
    with pytest.raises(ValueError) as error:  # a user's own dataset
        Dataset(tmp_path, "mine")
    assert "python -m data_prep humanml3d --name=mine --data_dir=" in str(error.value)


def test_a_misspelt_name_lists_the_prepared_datasets(data_dir):
    with pytest.raises(ValueError, match=rf"Prepared in {data_dir}: tiny\. "):
        Dataset(data_dir, "tyny")


def test_a_killed_preparation_is_not_a_dataset(copy, tmp_path):
    shutil.move(tmp_path / "tiny", tmp_path / ".tiny.incomplete")
    with pytest.raises(ValueError, match="dataset 'tiny' is not prepared"):
        Dataset(tmp_path, "tiny")


def write_vectors(version_dir, captions, vectors):
    joined = np.frombuffer("\n".join(captions).encode(), np.uint8)
    safetensors.numpy.save_file(
        {"vectors": vectors, "captions": joined},
        version_dir / "caption_vectors.safetensors",
        metadata={"encoder": "an encoder", "sha256": "0", "readout": "mean"},
    )


def test_caption_vectors(copy, tmp_path):
    dataset = Dataset(tmp_path, "tiny")
    assert dataset.caption_vectors is None
    with pytest.raises(ValueError) as error:
        dataset.require_caption_vectors()
    assert f"python -m data_prep embed --data_dir={tmp_path} --name=tiny" in str(error.value)

    captions = ["sits", "strolls", "ünïcode “quotes”\x85inside"]
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    write_vectors(copy, captions, vectors)
    found = Dataset(tmp_path, "tiny").require_caption_vectors()
    assert found.encoder == "an encoder, readout mean"
    assert found.fingerprint == ("0", "mean")
    np.testing.assert_array_equal(found[[captions[2], captions[0]]], vectors[[2, 0]])

    write_vectors(copy, captions, vectors[:2])
    with pytest.raises(ValueError, match="3 captions, but 2 vectors"):
        Dataset(tmp_path, "tiny").caption_vectors  # noqa: B018


def test_caption_vectors_that_are_not_finite_are_not_used(copy, tmp_path):
    """Older versions stored NaN for tokens beyond the encoder's table."""
    vectors = np.ones((3, 4), np.float32)
    vectors[1, 2] = np.nan
    write_vectors(copy, ["sits", "strolls", "walks"], vectors)
    message = r"vectors.safetensors: 1 of 3 vectors are not finite, .* 'strolls'. Delete it and run"
    with pytest.raises(ValueError, match=message):
        Dataset(tmp_path, "tiny").caption_vectors  # noqa: B018

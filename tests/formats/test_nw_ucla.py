"""NW-UCLA's JSON clips: labels of the names, spoiled files, and the real ones."""

import json

import mutations
import numpy as np
import packed
import pytest
from bodies import body

from motionalign import formats
from motionalign.formats import nw_ucla


def written(path, **changes):
    """A clip; None leaves a field out."""
    content = {"file_name": path.stem, "skeletons": body(5, "kinect20").tolist(), "label": 1}
    content = {name: value for name, value in {**content, **changes}.items() if value is not None}
    path.write_text(json.dumps(content))
    return path


def test_a_clip_and_what_its_name_says(tmp_path):
    (motion,) = formats.read(written(tmp_path / "a11_s04_e02_v03.json"))
    assert (motion.format, motion.name) == ("NW-UCLA", "a11_s04_e02_v03")
    assert motion.labels == {"class": "throw", "subject": 4, "view": 3, "trial": 2}
    np.testing.assert_array_equal(motion.positions[:, 0], body(5, "kinect20").astype(float))
    assert (motion.fps, motion.unit_in_metres, motion.up) == (30, 1, "y")
    assert (motion.convention, motion.notes) == ("Kinect v1", ())
    assert len(motion.joint_names) == 20 and len(nw_ucla.CLASSES) == 10


def test_a_renamed_file_has_the_name_that_it_states(tmp_path):
    (motion,) = formats.read(written(tmp_path / "clip.json", file_name="a02_s01_e00_v01"))
    assert motion.labels["class"] == "pick up with two hands"
    (motion,) = formats.read(written(tmp_path / "clip.json", file_name=None))
    assert motion.labels == {}
    assert motion.notes == (
        "No labels: the file is not named as those of the set, a01_s01_e00_v01.json.",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_name": "a07_s01_e00_v01"}, r"is of class 7; NW-UCLA has the classes 1, 2, .* 12"),
        ({"skeletons": [[[1, 2, 3]] * 19]}, r"skeletons is \[1, 19, 3\]; expected numbers \[fr"),
        ({"skeletons": []}, r"skeletons is \[0\]"),
        ({"skeletons": [[[1, 2, 3]] * 20, [[1, 2]] * 20]}, "skeletons is uneven lists"),
        (
            {"skeletons": [[["1", "2", "3"]] * 20]},
            r"skeletons has the type object; expected numbers",
        ),
        ({"skeletons": [[[1, 2, 1e12]] * 20]}, r"skeletons is 1e\+12 at \[0, 0, 2\]"),
        ({"skeletons": "clip"}, "is no clip of NW-UCLA: expected an object with skeletons"),
    ],
)
def test_spoiled_files_are_refused(tmp_path, changes, message):
    path = written(tmp_path / "clip.json", **changes)
    with pytest.raises(ValueError, match=message) as error:
        formats.read(path)
    assert str(error.value).startswith(str(path))


def test_other_json_files_are_not_claimed(tmp_path):
    for content in ({"frames": []}, {"name": "skeletons"}, [{"skeletons": []}], {"label": 1}):
        (tmp_path / "clip.json").write_text(json.dumps(content))
        assert not nw_ucla.claims(tmp_path / "clip.json")


def test_real_clips_equal_the_packed_ones(real_files, test_data):
    files = sorted((real_files / "action_raw" / "nw_ucla").glob("*.json"))
    assert len(files) == 2
    for path in files:
        (motion,) = formats.read(path)
        clip, labels = packed.clip(test_data, "nw_ucla", path.name)
        np.testing.assert_allclose(motion.positions, clip, atol=1.1e-4)
        assert motion.labels == labels


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    assert mutations.refusals(written(tmp_path / "a01_s01_e00_v01.json")) > 20

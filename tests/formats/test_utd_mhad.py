"""UTD-MHAD's MATLAB files: labels of the names, spoiled files, and the real ones."""

import mutations
import numpy as np
import packed
import pytest
from bodies import body
from scipy.io import savemat

from motionalign import formats
from motionalign.formats import utd_mhad

KINECT20 = [  # of `bodies.body`, in the order of the file
    *(3, 2, 1, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
]


def written(path, compressed=True, **variables):
    joints = body(6, "kinect20")[:, KINECT20].astype(float)
    variables = variables or {"d_skel": joints.transpose(1, 2, 0)}
    savemat(path, variables, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_a_recording_and_what_its_name_says(tmp_path, compressed):
    path = written(tmp_path / "a13_s3_t2_skeleton.mat", compressed)
    (motion,) = formats.read(path)
    assert (motion.format, motion.name) == ("UTD-MHAD", "a13_s3_t2_skeleton")
    assert motion.labels == {"class": "front boxing", "subject": 3, "trial": 2}
    assert motion.joint_names[:4] == ("Head", "ShoulderCenter", "Spine", "HipCenter")
    np.testing.assert_array_equal(motion.positions[:, 0], body(6, "kinect20")[:, KINECT20])
    assert (motion.fps, motion.unit_in_metres, motion.up) == (30, 1, "y")
    assert len(utd_mhad.CLASSES) == 27


def test_a_single_frame(tmp_path):
    """MATLAB drops a last axis of one."""
    path = written(tmp_path / "a1_s1_t1_skeleton.mat", d_skel=np.ones((20, 3)))
    assert formats.read(path)[0].positions.shape == (1, 1, 20, 3)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"d_iner": np.ones((20, 3, 4))},
            r"has d_iner \(double \[20, 3, 4\]\); expected d_skel, n",
        ),
        ({"d_skel": np.ones((3, 20, 4))}, r"has d_skel \(double \[3, 20, 4\]\); expected d_skel"),
        ({"d_skel": np.ones((20, 3, 0))}, r"has d_skel \(double \[20, 3, 0\]\)"),
        ({"d_skel": "text"}, r"has d_skel \(char"),
        ({"d_skel": {"a": 1}}, r"has d_skel \(struct"),
        ({"d_skel": np.full((20, 3, 2), np.inf)}, r"d_skel is infinite at \[0, 0, 0\]"),
        ({"d_skel": np.ones((20, 3, 2)) * 1j}, r"d_skel is not what its header says"),
    ],
)
def test_other_variables_are_refused(tmp_path, variables, message):
    path = written(tmp_path / "a1_s1_t1_skeleton.mat", **variables)
    with pytest.raises(ValueError, match=message) as error:
        formats.read(path)
    assert str(error.value).startswith(str(path))


def test_names_that_are_none_of_the_set(tmp_path):
    path = written(tmp_path / "a28_s1_t1_skeleton.mat")
    with pytest.raises(ValueError, match=r"is of class 28; UTD-MHAD has 1 to 27"):
        formats.read(path)
    with pytest.raises(ValueError, match="is a file of MATLAB, whose variables can be anything"):
        formats.read(written(tmp_path / "skeleton.mat"))
    (tmp_path / "a1_s1_t1_skeleton.mat").write_text("something else")
    with pytest.raises(ValueError, match="is a file of MATLAB"):
        formats.read(tmp_path / "a1_s1_t1_skeleton.mat")


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    """Nothing is read of frames that a file of this size cannot have."""
    path = written(tmp_path / "a1_s1_t1_skeleton.mat", compressed=False)
    data = bytearray(path.read_bytes())
    place = data.index(np.array([20, 3, 6], "<i4").tobytes())
    data[place + 8 : place + 12] = np.array([2**30], "<i4").tobytes()
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"said to have 1,073,741,824 frames, and the file has"):
        formats.read(path)


def test_cut_files_are_refused(tmp_path):
    path = written(tmp_path / "a1_s1_t1_skeleton.mat")
    data = path.read_bytes()
    for end in (130, 200, len(data) // 2, len(data) - 20):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"skeleton\.mat (is damaged|has)"):
            formats.read(path)


def test_real_recordings_equal_the_packed_ones(real_files, test_data):
    files = sorted((real_files / "action_raw" / "utd_mhad").glob("*.mat"))
    assert len(files) == 2
    for path in files:
        (motion,) = formats.read(path)
        clip, labels = packed.clip(test_data, "utd_mhad", path.name)
        np.testing.assert_allclose(motion.positions, clip, atol=1.1e-4)
        short = {"right arm swipe to the left": "swipe_left", "sit to stand": "sit2stand"}
        assert {**motion.labels, "class": short[motion.labels["class"]], "view": 0} == labels


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    path = written(tmp_path / "a1_s1_t1_skeleton.mat", compressed=False)
    assert mutations.refusals(path, mutate=mutations.of_bytes) > 20

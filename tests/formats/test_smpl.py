"""Archives of SMPL's pose parameters, with a body model that the tests make."""

import pathlib

import numpy as np
import pytest
from formats.test_smplh import arrays as body_arrays

from motionalign import formats
from motionalign.formats import smplh
from motionalign.skeleton import SKELETONS


def archive(frames=4, values=156, **changes):
    """An archive of AMASS with random rotations."""
    rng = np.random.default_rng(3)
    content = {
        "trans": rng.normal(size=(frames, 3)),
        "gender": np.array("female"),
        "mocap_framerate": np.array(120.0),
        "betas": rng.normal(size=16),
        "dmpls": np.zeros((frames, 8)),
        "poses": rng.normal(0, 1, (frames, values)),
    }
    return {name: value for name, value in (content | changes).items() if value is not None}


def written(tmp_path, name="clip_poses.npz", **changes):
    np.savez(tmp_path / name, **archive(**changes))
    return tmp_path / name


@pytest.fixture
def bodies(tmp_path) -> pathlib.Path:
    """A folder of body models; each gender has another."""
    for seed, gender in enumerate(("female", "male", "neutral")):
        (tmp_path / "smplh" / gender).mkdir(parents=True)
        np.savez(tmp_path / "smplh" / gender / "model.npz", **body_arrays(seed))
    return tmp_path / "smplh"


def test_an_archive_of_amass(tmp_path, bodies):
    """Equals the reader of BABEL, which turns the same joints from Z up to Y up."""
    (motion,) = formats.read(written(tmp_path), smplh_dir=bodies)
    given = archive()
    body = smplh.SMPLH.read(bodies / "female" / "model.npz")
    joints, _ = smplh.pose_clip(body, given["poses"], given["trans"], given["betas"])
    np.testing.assert_allclose(motion.positions[:, 0] @ smplh.Z_UP_TO_Y_UP.T, joints, atol=1e-5)
    assert motion.joint_names == SKELETONS["smpl22"].joint_names
    assert motion.parents == SKELETONS["smpl22"].parents
    assert (motion.fps, motion.unit_in_metres, motion.up) == (120.0, 1.0, "z")
    assert (motion.name, motion.format, motion.convention) == ("clip_poses", "SMPL", "SMPL")
    assert motion.notes == (
        "Left out: 30 joints of the hands.",
        "Left out: 1 other array (dmpls).",
    )


def test_a_body_that_stands(tmp_path, bodies):
    """A root that turns a body model, which is Y up, to Z up leaves it in the rest pose."""
    poses = np.zeros((2, 72))
    poses[:, 0] = np.pi / 2
    path = written(tmp_path, frames=2, poses=poses, trans=np.array([[0, 0, 0], [1, 2, 3.0]]))
    (motion,) = formats.read(path, smplh_dir=bodies)
    rest = motion.rest
    assert rest is not None
    at = motion.positions[:, 0] - motion.positions[:, :1, 0]
    np.testing.assert_allclose(at, np.stack([rest - rest[0]] * 2), atol=1e-12)
    model = smplh.SMPLH.read(bodies / "female" / "model.npz").rest_joints(archive(2)["betas"])
    np.testing.assert_allclose(rest, model[:, [0, 2, 1]] * [1, -1, 1], atol=1e-12)
    np.testing.assert_allclose(motion.positions[:, 0, 0], model[0] + [[0, 0, 0], [1, 2, 3]])
    assert motion.notes[0] == "Left out: 2 joints of the hands."


@pytest.mark.parametrize(
    ("gender", "expected"),
    [("Female", "female"), (np.array(b"male"), "male"), ("b'neutral'", "neutral"), ("m", "male"),
     (np.array(["female"]), "female"), (None, "neutral")],
)  # fmt: skip
def test_genders(tmp_path, bodies, gender, expected):
    (motion,) = formats.read(written(tmp_path, gender=gender), smplh_dir=bodies)
    (other,) = formats.read(written(tmp_path, gender=expected), smplh_dir=bodies)
    np.testing.assert_array_equal(motion.positions, other.positions)
    assert ("No gender is stated: the neutral body model is used." in motion.notes) == (
        gender is None
    )


def test_other_spellings(tmp_path, bodies):
    """The body's rotations in two arrays, a shape repeated in each frame, another rate's key."""
    (motion,) = formats.read(written(tmp_path), smplh_dir=bodies)
    given = archive()
    path = written(
        tmp_path, poses=None, root_orient=given["poses"][:, :3], pose_body=given["poses"][:, 3:66],
        betas=np.tile(given["betas"], (4, 1)), mocap_framerate=None, mocap_frame_rate=np.array(60),
        surface_model_type=np.array("smplh"),
    )  # fmt: skip
    (other,) = formats.read(path, smplh_dir=bodies)
    np.testing.assert_array_equal(motion.positions, other.positions)
    assert other.fps == 60.0
    (mean,) = formats.read(written(tmp_path, betas=None, mocap_framerate=None), smplh_dir=bodies)
    (zeros,) = formats.read(written(tmp_path, betas=np.zeros(10)), smplh_dir=bodies)
    np.testing.assert_array_equal(mean.positions, zeros.positions)
    assert mean.fps is None
    assert "No betas are stated: the body has the mean shape." in mean.notes


def test_without_body_models_it_is_refused(tmp_path, real_files):
    for path, model in (
        (written(tmp_path), "SMPL-H"),
        (real_files / "smpl" / "amass_ACCAD_stand.npz", "SMPL-H"),
        (real_files / "smpl" / "asap_video_kick_level2_filter_amass.npz", "SMPL"),
    ):
        with pytest.raises(ValueError, match=r"--smplh_dir=DIR.*https://mano") as error:
            formats.read(path)
        assert f"{path} has pose parameters of {model}, and no positions" in str(error.value)


def test_the_real_archives(real_files, bodies):
    found = {}
    for path in sorted((real_files / "smpl").glob("*.npz")):
        (motion,) = formats.read(path, smplh_dir=bodies)
        found[path.stem] = (motion.num_frames, motion.fps, motion.up, len(motion.joint_names))
        assert np.isfinite(motion.positions).all()
    assert found == {
        "amass_ACCAD_stand": (360, 120.0, "z", 22),
        "asap_video_kick_level2_filter_amass": (101, 30.0, "z", 22),
        "asap_video_walk_level2_filter_amass": (104, 30.0, "z", 22),
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"values": 165}, r"poses has 165 values a frame, SMPL-X's 55 joints; expected SMPL-H"),
        ({"surface_model_type": np.array("smplx")}, "surface_model_type is 'smplx'"),
        ({"surface_model_type": np.array("mano")}, "surface_model_type is 'mano'"),
        ({"name": "clip_stageii.npz"}, "names that end in _stageii.npz are SMPL-X's"),
        ({"values": 63}, r"poses is \[4, 63\]; expected \[frames, values\], 72 \(SMPL\) or 156"),
        ({"poses": np.zeros(156)}, r"poses is \[156\]; expected"),
        ({"poses": np.zeros((3, 156))}, r"trans is \[4, 3\], of 3 frames of poses"),
        ({"frames": 0}, r"trans is \[0, 3\], of 0 frames"),
        ({"poses": np.full((4, 156), np.nan)}, r"poses is NaN at \[0, 0\]"),
        ({"poses": np.full((4, 156), np.inf)}, r"poses is infinite at \[0, 0\]"),
        ({"poses": np.zeros((4, 156), complex)}, "poses has the type complex128"),
        ({"poses": np.zeros((4, 156), "U1")}, "poses has the type <U1"),
        ({"trans": None}, "has no array trans; it has gender, mocap_framerate"),
        ({"trans": np.zeros((4, 2))}, r"trans is \[4, 2\]"),
        ({"trans": np.full((4, 3), np.nan)}, "trans is NaN"),
        ({"betas": np.zeros((4, 2, 2))}, r"betas is \[4, 2, 2\]; expected one list"),
        ({"betas": np.arange(8.0).reshape(4, 2)}, r"betas is \[4, 2\]; expected one list"),
        ({"gender": "other"}, "gender is 'other'; expected female, male, neutral"),
        ({"gender": np.array(["male", "male"])}, "gender is"),
        ({"mocap_framerate": 0}, "mocap_framerate is 0; expected a positive number"),
        ({"mocap_framerate": "120"}, "mocap_framerate is '120'"),
        ({"poses": None, "root_orient": np.zeros((4, 3)), "pose_body": np.zeros((4, 69))},
         r"root_orient is \[4, 3\] and pose_body \[4, 69\]; expected"),
    ],
)  # fmt: skip
def test_spoiled_archives(tmp_path, bodies, changes, problem):
    path = written(tmp_path, **changes)
    with pytest.raises(ValueError, match=problem) as error:
        formats.read(path, smplh_dir=bodies)
    assert str(path) in str(error.value)


def test_body_models_that_are_missing(tmp_path, bodies):
    path = written(tmp_path)
    with pytest.raises(ValueError, match=r"--smplh_dir=.*none is not a folder"):
        formats.read(path, smplh_dir=tmp_path / "none")
    (bodies / "female" / "model.npz").rename(bodies / "female" / "basicModel_f.pkl")
    with pytest.raises(
        ValueError, match=r"has no female/model\.npz.*basicModel_f\.pkl is a pickle, which is never"
    ):
        formats.read(path, smplh_dir=bodies)
    (bodies / "female" / "model.npz").touch()
    with pytest.raises(ValueError, match=r"model\.npz is not a complete \.npz file"):
        formats.read(path, smplh_dir=bodies)

"""SMPL-H forward kinematics against a scipy implementation by frame and joint."""

import hypothesis.extra.numpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from motionalign.formats import smplh

VERTICES, JOINTS, SHAPES = 40, 52, 16


def arrays(seed=0):
    """Random arrays in the shapes of a model file, with fewer vertices."""
    rng = np.random.default_rng(seed)
    parents = np.arange(-1, JOINTS - 1)
    parents[: smplh.NUM_BODY] = smplh.PARENTS
    return {
        "v_template": rng.normal(size=(VERTICES, 3)),
        "shapedirs": 0.1 * rng.normal(size=(VERTICES, 3, SHAPES)),
        "J_regressor": rng.dirichlet(np.ones(VERTICES), JOINTS),
        # The root's parent is 2**32 - 1 in the published files.
        "kintree_table": np.stack([parents.astype(np.uint32), np.arange(JOINTS, dtype=np.uint32)]),
    }


@pytest.fixture
def model(tmp_path):
    np.savez(tmp_path / "model.npz", **arrays())
    return tmp_path / "model.npz"


def clip(frames=5, seed=1):
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, 1.5, (frames, 3 * JOINTS))
    poses[0] = 0
    return poses, rng.normal(size=(frames, 3)), rng.normal(size=SHAPES)


def reference(poses, translation, betas):
    """Multiplies homogeneous matrices along the tree, and converts Z up to Y up at the end."""
    values = arrays()
    shaped = values["v_template"] + values["shapedirs"] @ betas
    rest = values["J_regressor"] @ shaped
    out = []
    for pose, trans in zip(poses, translation):
        matrices = []
        for joint, parent in enumerate(smplh.PARENTS):
            local = np.eye(4)
            local[:3, :3] = Rotation.from_rotvec(pose[3 * joint : 3 * joint + 3]).as_matrix()
            local[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
            matrices.append(matrices[parent] @ local if parent >= 0 else local)
        out.append([matrix[:3, 3] + trans for matrix in matrices])
    x, y, z = np.moveaxis(np.array(out), -1, 0)
    return np.stack([x, z, -y], axis=-1)


def test_joints_equal_an_independent_forward_kinematics(model):
    poses, translation, betas = clip()
    joints, rotations = smplh.pose_clip(smplh.SMPLH.read(model), poses, translation, betas)
    assert (joints.shape, joints.dtype) == ((5, 22, 3), np.float32)
    np.testing.assert_allclose(joints, reference(poses, translation, betas), atol=1e-5)

    vectors = poses.reshape(5, JOINTS, 3)[:, [*range(1, 22), 22, 37]]  # all but the root
    locals_ = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    expected = locals_[:, :2].reshape(5, 23, 6)
    np.testing.assert_allclose(rotations[:, 1:], expected, atol=1e-6)


def test_rotations_reproduce_the_joints(model):
    """6D rotations and joints are in the same frame, Y up."""
    poses, translation, betas = clip()
    body = smplh.SMPLH.read(model)
    joints, rotations = smplh.pose_clip(body, poses, translation, betas)
    rows = rotations[:, :22].reshape(5, 22, 2, 3).astype(np.float64)
    matrices = np.concatenate([rows, np.cross(rows[..., :1, :], rows[..., 1:, :])], axis=-2)
    rest = body.rest_joints(betas)
    again = smplh.forward_kinematics(matrices, rest, joints[:, 0] - rest[0])
    np.testing.assert_allclose(again, joints, atol=1e-5)


def test_back_in_amass_axes(model):
    """The root's rotation and position as the file has them, up to the rest position."""
    poses, translation, betas = clip()
    joints, rotations = smplh.pose_clip(smplh.SMPLH.read(model), poses, translation, betas)
    given = rotations.copy()
    turned, root = smplh.amass_axes(rotations, joints[:, 0])
    vectors = poses.reshape(5, JOINTS, 3)[:, [*range(22), 22, 37]]
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(5, 24, 3, 3)
    np.testing.assert_allclose(turned, matrices[:, :, :2].reshape(5, 24, 6), atol=1e-6)
    np.testing.assert_allclose(root - root[0], translation - translation[0], atol=1e-5)
    np.testing.assert_array_equal(rotations, given)  # a copy is turned
    assert not np.allclose(turned[:, 0], rotations[:, 0])


def test_rotations_and_translation_of_a_file():
    """As Walk and Text's code reads a file, and for any number of frames."""
    poses, translation, _ = clip()
    rows = smplh.rotations_translation(poses, translation)
    vectors = poses.reshape(5, JOINTS, 3)[:, [*range(22), 22, 37]]
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(5, 24, 3, 3)
    assert (rows.shape, rows.dtype) == ((5, 25, 6), np.float32)
    np.testing.assert_allclose(rows[:, :24], matrices[:, :, :2].reshape(5, 24, 6), atol=1e-6)
    np.testing.assert_allclose(rows[:, 24, :3], translation, atol=1e-6)
    np.testing.assert_array_equal(rows[:, 24, 3:], 0)
    assert smplh.rotations_translation(poses[:0], translation[:0]).shape == (0, 25, 6)
    with pytest.raises(ValueError, match=r"trans is \[4, 3\]; expected \[5, 3\]"):
        smplh.rotations_translation(poses, translation[:4])


def test_zero_pose_is_the_rest_pose(model):
    """With zero pose, joints are the rest joints, rotated from Z up to Y up about the origin."""
    body = smplh.SMPLH.read(model)
    joints, _ = smplh.pose_clip(body, np.zeros((1, 156)), np.zeros((1, 3)), np.zeros(SHAPES))
    x, y, z = body.joints.T
    np.testing.assert_allclose(joints[0], np.stack([x, z, -y], axis=-1), atol=1e-6)


def test_different_numbers_of_shape_components(model):
    body = smplh.SMPLH.read(model)
    betas = np.random.default_rng(0).normal(size=SHAPES)
    first = np.where(np.arange(SHAPES) < 10, betas, 0)
    np.testing.assert_allclose(body.rest_joints(betas[:10]), body.rest_joints(first))
    longer = np.concatenate([betas, [5.0]])
    np.testing.assert_allclose(body.rest_joints(longer), body.rest_joints(betas))


@given(
    hypothesis.extra.numpy.arrays(
        np.float64, (3,), elements=st.floats(-8, 8, allow_subnormal=False)
    )
)
def test_rotation_matrices_equal_scipys(vector):
    matrix = smplh.rotation_matrices(vector)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)


def test_bones_keep_their_lengths(model):
    poses, translation, betas = clip(50)
    joints, _ = smplh.pose_clip(smplh.SMPLH.read(model), poses, translation, betas)
    bones = [(p, j) for j, p in enumerate(smplh.PARENTS) if p >= 0]
    lengths = np.stack([np.linalg.norm(joints[:, j] - joints[:, p], axis=-1) for p, j in bones])
    np.testing.assert_allclose(lengths, lengths[:, :1] * np.ones(50), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"J_regressor": None}, "is not an SMPL-H model: .*J_regressor"),
        ({"J_regressor": np.zeros((21, VERTICES))}, r"J_regressor \[21, 40\]; expected"),
        ({"shapedirs": np.zeros((VERTICES, 3))}, r"shapedirs \[40, 3\]"),
        ({"v_template": np.zeros((7, 3))}, r"v_template \[7, 3\]"),
        ({"kintree_table": np.zeros((2, 52), np.uint32)}, "kintree_table is not SMPL's tree"),
        ({"J_regressor": np.array({}, dtype=object)}, r"is not a complete \.npz"),
    ],
)
def test_invalid_models_are_rejected(tmp_path, change, message):
    values = {k: v for k, v in {**arrays(), **change}.items() if v is not None}
    np.savez(tmp_path / "model.npz", **values)
    with pytest.raises(ValueError, match=message):
        smplh.SMPLH.read(tmp_path / "model.npz")


def test_pickles_and_damaged_files_are_rejected(tmp_path, model):
    with pytest.raises(ValueError, match=r"model.pkl: .* a pickle is never read"):
        smplh.SMPLH.read(tmp_path / "model.pkl")
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"is not a complete \.npz"):
        smplh.SMPLH.read(model)


@pytest.mark.parametrize(
    ("poses", "trans", "message"),
    [
        (np.zeros((4, 155)), np.zeros((4, 3)), r"poses is \[4, 155\]; expected \[frames, 156"),
        (np.zeros((4, 156)), np.zeros((3, 3)), r"trans is \[3, 3\]; expected \[4, 3\]"),
        (np.full((4, 156), np.nan), np.zeros((4, 3)), "not finite"),
    ],
)
def test_invalid_clips_are_rejected(model, poses, trans, message):
    with pytest.raises(ValueError, match=message):
        smplh.pose_clip(smplh.SMPLH.read(model), poses, trans, np.zeros(SHAPES))


def test_poses_of_smplx_are_refused(model):
    body = smplh.SMPLH.read(model)
    with pytest.raises(smplh.WrongBodyModel, match=r"165 values a frame, SMPL-X's.*SMPL\+H G"):
        smplh.pose_clip(body, np.zeros((2, 165)), np.zeros((2, 3)), np.zeros(SHAPES))

"""Motion patches against the published code's output and OpenCV; invariants of resampling."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from motionalign.patches import motion_patches, resampling_matrix
from motionalign.skeleton import SKELETONS

SMPL = SKELETONS["smpl22"]
ZERO, ONE = np.zeros((22, 3)), np.ones((22, 3))
each_skeleton = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
each_size = pytest.mark.parametrize("patch_size", [8, 16, 32])

sizes = st.sampled_from([8, 16, 32])
coordinates = st.floats(-1e3, 1e3, width=32)


def joint_arrays(frames=3):
    return hnp.arrays(np.float64, (frames, 22, 3), elements=coordinates)


def random_case(skeleton, lead=(7,), dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(skeleton.num_joints, 3))
    std = rng.uniform(0.1, 2, (skeleton.num_joints, 3))
    return rng.normal(size=(*lead, skeleton.num_joints, 3)).astype(dtype), mean, std


def with_opencv(joints, skeleton, mean, std, patch_size):
    """As published: OpenCV resizes every chain of every frame as a row of pixels."""
    normalised = (joints.astype(np.float64) - mean) / std
    frames = []
    for frame in normalised:
        rows = [
            cv2.resize(frame[None, list(chain)], (patch_size, 1), interpolation=cv2.INTER_LINEAR)
            for chain in skeleton.chains
        ]
        frames.append(np.concatenate([row[0] for row in rows]))
    return np.stack(frames)


def test_equals_the_published_code(test_data):
    golden = np.load(test_data / "golden" / "motion_patches.npz")
    for k in range(6):
        ours = motion_patches(golden[f"smpl22_{k}_joints"], SMPL, golden["mean"], golden["std"])
        np.testing.assert_allclose(ours, golden[f"smpl22_{k}_patches"], rtol=0, atol=1e-5)
    joints = golden["kit21_joints_normalised"]
    ours = motion_patches(joints, SKELETONS["kit21"], np.zeros((21, 3)), np.ones((21, 3)))
    np.testing.assert_allclose(ours, golden["kit21_patches"], rtol=0, atol=1e-5)


@each_size
@each_skeleton
def test_equals_opencv(skeleton, patch_size):
    joints, mean, std = random_case(skeleton, dtype=np.float64)
    ours = motion_patches(joints, skeleton, mean, std, patch_size)
    assert ours.shape == (7, 5 * patch_size, 3)
    theirs = with_opencv(joints, skeleton, mean, std, patch_size)
    # OpenCV rounds the weights to float32.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@each_size
@each_skeleton
def test_numpy_and_jax_agree(skeleton, patch_size):
    joints, mean, std = random_case(skeleton)
    ours = motion_patches(joints, skeleton, mean, std, patch_size)
    traced = jax.jit(lambda x: motion_patches(x, skeleton, mean, std, patch_size))
    for with_jax in (traced, traced.__wrapped__):
        result = with_jax(jnp.asarray(joints))
        assert isinstance(result, jax.Array)
        assert result.dtype == jnp.float32
        np.testing.assert_allclose(result, ours, rtol=0, atol=1e-5)


def test_the_first_points_by_hand():
    """Five joints on 16 points: point 0 is clamped, point 2 lies at 2.5 * 5/16 - 0.5 = 0.28125."""
    joints = np.zeros((1, 22, 3))
    joints[0, [0, 2, 5, 8, 11], 0] = 10, 20, 30, 40, 50  # right leg, x
    points = motion_patches(joints, SMPL, ZERO, ONE)[0, :16, 0]
    np.testing.assert_allclose(points[:4], [10, 10, 12.8125, 15.9375], rtol=1e-12)
    np.testing.assert_allclose(points[::-1], 60 - points, rtol=1e-12)


def test_z_score_by_hand():
    joints = np.full((1, 22, 3), 7, np.float32)
    mean = np.tile([1.0, 3, 5], (22, 1))
    std = np.tile([2.0, 4, 8], (22, 1))
    patches = motion_patches(joints, SMPL, mean, std)
    np.testing.assert_allclose(patches, np.tile([3, 1, 0.25], (1, 80, 1)), rtol=1e-6)


def test_mean_and_std_may_be_lists():
    """As stored in metadata.json."""
    joints, mean, std = random_case(SMPL)
    np.testing.assert_array_equal(
        motion_patches(joints, SMPL, mean.tolist(), std.tolist()),
        motion_patches(joints, SMPL, mean, std),
    )


@each_size
@each_skeleton
def test_weights_interpolate(skeleton, patch_size):
    """Each point has convex weights on at most two adjacent joints of its chain."""
    matrix = resampling_matrix(skeleton, patch_size)
    assert matrix.shape == (5 * patch_size, skeleton.num_joints)
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-12)
    assert matrix.min() >= 0
    for chain, rows in zip(skeleton.chains, matrix.reshape(5, patch_size, -1)):
        for row in rows:
            (used,) = np.nonzero(row)
            places = sorted(chain.index(joint) for joint in used)
            assert places in ([places[0]], [places[0], places[0] + 1])


@given(joint_arrays(), joint_arrays(), coordinates, sizes)
@settings(max_examples=30)
def test_linear(a, b, factor, size):
    def patches(x):
        return motion_patches(x, SMPL, ZERO, ONE, size)

    np.testing.assert_allclose(
        patches(a + factor * b), patches(a) + factor * patches(b), rtol=1e-9, atol=1e-6
    )


@given(hnp.arrays(np.float64, (3, 1, 3), elements=coordinates), st.integers(0, 4), sizes)
@settings(max_examples=30)
def test_a_constant_chain_stays_constant(value, part, size):
    joints = np.random.default_rng(0).normal(size=(3, 22, 3))
    joints[:, list(SMPL.chains[part])] = value
    patches = motion_patches(joints, SMPL, ZERO, ONE, size)
    own = patches[:, part * size : (part + 1) * size]
    np.testing.assert_allclose(own, np.broadcast_to(value, own.shape), rtol=1e-12, atol=1e-12)


@given(joint_arrays(), sizes)
@settings(max_examples=30)
def test_ends_are_the_end_joints_and_points_stay_between_joints(joints, size):
    patches = motion_patches(joints, SMPL, ZERO, ONE, size)
    for part, chain in enumerate(SMPL.chains):
        own = patches[:, part * size : (part + 1) * size]
        np.testing.assert_array_equal(own[:, 0], joints[:, chain[0]])
        np.testing.assert_array_equal(own[:, -1], joints[:, chain[-1]])
        slack = 1e-9 * (1 + np.abs(joints).max())
        assert (own <= joints[:, chain].max(1, keepdims=True) + slack).all()
        assert (own >= joints[:, chain].min(1, keepdims=True) - slack).all()


@given(joint_arrays(), st.permutations(range(3)))
@settings(max_examples=10)
def test_frames_are_independent(joints, order):
    patches = motion_patches(joints, SMPL, ZERO, ONE)
    np.testing.assert_allclose(
        motion_patches(joints[order], SMPL, ZERO, ONE), patches[order], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("lead", [(), (1,), (4, 1), (2, 3, 2), (0,), (0, 2)])
def test_leading_axes(lead):
    joints, mean, std = random_case(SMPL, lead)
    patches = motion_patches(joints, SMPL, mean, std)
    assert patches.shape == (*lead, 80, 3)
    flat = [motion_patches(frame, SMPL, mean, std) for frame in joints.reshape(-1, 22, 3)]
    np.testing.assert_allclose(patches.reshape(-1, 80, 3), np.reshape(flat, (-1, 80, 3)), rtol=1e-6)
    assert motion_patches(jnp.asarray(joints), SMPL, mean, std).shape == (*lead, 80, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_of_the_joints(dtype):
    joints, mean, std = random_case(SMPL, dtype=dtype)
    assert motion_patches(joints, SMPL, mean, std).dtype == dtype


def test_integer_joints_are_not_rounded():
    joints = np.random.default_rng(0).integers(-9, 9, (4, 22, 3))
    exact = motion_patches(joints.astype(np.float64), SMPL, ZERO, 4 * ONE)
    for whole in (joints, jnp.asarray(joints)):
        ours = motion_patches(whole, SMPL, ZERO, 4 * ONE)
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-5)


def test_millimetres_at_ten_metres():
    """float32 joints far from the origin lose no precision beyond that of float32."""
    rng = np.random.default_rng(0)
    joints = (10 + 1e-3 * rng.normal(size=(5, 22, 3))).astype(np.float32)
    mean, std = np.full((22, 3), 10 + 1e-5), np.full((22, 3), 1e-3)
    exact = resampling_matrix(SMPL, 16) @ ((joints.astype(np.float64) - mean) / std)
    np.testing.assert_allclose(motion_patches(joints, SMPL, mean, std), exact, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 21, 3), (4, 22, 2), (66,), (4, 3, 22)])
def test_wrong_shapes(shape):
    message = r"joints have shape .*; skeleton 'smpl22' needs \[\.\.\., 22, 3\]"
    for joints in (np.zeros(shape), jnp.zeros(shape)):
        with pytest.raises(ValueError, match=message):
            motion_patches(joints, SMPL, ZERO, ONE)

"""Pictures: shapes, sides, the parts of a strip that a viewer relies on, and bad input."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from motionalign.report import pictures
from motionalign.skeleton import SKELETONS


def standing(skeleton, num_frames=20, facing=1.0):
    """A crude standing body [T, J, 3] that faces +z (or -z), metres: parts at their own heights."""
    joints = np.zeros((num_frames, skeleton.num_joints, 3), np.float32)
    heights = {"leg": (0.9, 0.0), "arm": (1.4, 0.8), "torso": (0.9, 1.7)}
    for name, chain in zip(skeleton.chain_names, skeleton.chains, strict=True):
        side, _, part = name.rpartition("_")
        joints[:, chain, 1] = np.linspace(*heights[part], len(chain))
        if side:
            joints[:, chain[1:], 0] = (0.1 if part == "leg" else 0.2) * (
                1 if side == "left" else -1
            )
    joints[:, skeleton.parents.index(-1)] = (0, 0.9, 0)
    return joints * np.array([facing, 1, facing], np.float32)


def columns(image, part):
    """Where the colour of a body part lies in a strip: x of its pixels."""
    colour = np.round(255 * np.array(to_rgb(pictures.PART_COLOURS[part])))
    return np.nonzero((np.abs(image.astype(int) - colour) < 12).all(axis=-1))[1]


@pytest.mark.parametrize("name", sorted(SKELETONS))
@pytest.mark.parametrize("num_frames", [1, 3, 250])
def test_strip_of_every_skeleton(name, num_frames):
    image = pictures.skeleton_strip(standing(SKELETONS[name], num_frames), SKELETONS[name])
    assert image.shape == (176, 960, 3) and image.dtype == np.uint8
    for part in pictures.PART_COLOURS:
        assert columns(image, part).size > 20, part


@pytest.mark.parametrize("facing", [1, -1])
def test_the_body_is_seen_from_the_front_whichever_way_it_faces(facing):
    skeleton = SKELETONS["smpl22"]
    image = pictures.skeleton_strip(standing(skeleton, facing=facing), skeleton, num_poses=1)
    assert columns(image, "left_arm").mean() > columns(image, "right_arm").mean() + 10
    assert columns(image, "left_leg").mean() > columns(image, "right_leg").mean() + 5


def test_poses_follow_time_from_left_to_right():
    skeleton = SKELETONS["smpl22"]
    joints = standing(skeleton, 40)
    joints[20:, [16, 18, 20], 1] = (1.5, 1.8, 2.0)  # the left arm goes up half-way
    image = pictures.skeleton_strip(joints, skeleton, num_poses=4, width=512)
    poses = image[:, :400].reshape(176, 4, 100, 3).swapaxes(0, 1)
    arm = np.round(255 * np.array(to_rgb(pictures.PART_COLOURS["left_arm"])))
    top = [np.nonzero((np.abs(pose - arm) < 12).all(axis=-1))[0].min() for pose in poses]
    assert max(top[2:]) < min(top[:2]) - 20


def test_travel_shows_in_the_path_only():
    skeleton = SKELETONS["smpl22"]
    still = standing(skeleton)
    walk = still + np.linspace(0, 5, len(still))[:, None, None] * np.array([0, 0, 1])
    a, b = (pictures.skeleton_strip(joints, skeleton) for joints in (still, walk))
    edge = a.shape[1] - 112
    # The figure is level up to anti-aliasing; the path grows upwards, the way the body faces.
    assert np.mean(a[:, :edge] != b[:, :edge]) < 0.01
    ink = [
        np.ptp(np.nonzero((image[20:-20, edge + 20 :] < 200).any(axis=(1, 2)))[0])
        for image in (a, b)
    ]
    assert ink[1] > ink[0] + 40


def test_scale_and_unit_do_not_matter():
    skeleton = SKELETONS["smpl22"]
    metres = pictures.skeleton_strip(standing(skeleton), skeleton)
    millimetres = pictures.skeleton_strip(1000 * standing(skeleton), skeleton)
    assert np.mean(metres != millimetres) < 0.01


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.zeros((5, 21, 3)), r"\[T, 22, 3\]; found \(5, 21, 3\)"),
        (np.zeros((0, 22, 3)), r"found \(0, 22, 3\)"),
        (np.full((5, 22, 3), np.nan), "finite"),
    ],
)
def test_strip_errors(joints, message):
    with pytest.raises(ValueError, match=message):
        pictures.skeleton_strip(joints, SKELETONS["smpl22"])


def test_a_body_at_one_point_is_drawn_all_the_same():
    image = pictures.skeleton_strip(np.zeros((4, 22, 3)), SKELETONS["smpl22"])
    assert image.shape == (176, 960, 3)


def test_patch_image():
    patches = np.zeros((3, 80, 3), np.float16)
    patches[0, 0] = (-9, 0, 9)
    patches[1, 1] = (2.5, -2.5, 1.25)
    image = pictures.patch_image(patches)
    assert image.shape == (3, 80, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image[0, 0], [0, 128, 255])
    np.testing.assert_array_equal(image[1, 1], [255, 0, 191])
    with pytest.raises(ValueError, match=r"\[T, 5N, 3\]; found \(80, 3\)"):
        pictures.patch_image(patches[0])


def test_png_gives_the_image_back():
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(pictures.png(image)))), image)
    few = Image.open(io.BytesIO(pictures.png(image, colours=8))).convert("RGB")
    assert few.size == (9, 7) and len(few.getcolors()) <= 8
    assert pictures.data_uri(image).startswith("data:image/png;base64,iVBOR")


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, motionalign.pictures; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Pictures: shapes, sides, the parts of a strip that a viewer relies on, and invalid input."""

import io

import numpy as np
import pytest
from matplotlib.colors import same_color, to_rgb
from PIL import Image

from motionalign.report import pictures
from motionalign.skeleton import SKELETONS


def standing(skeleton, num_frames=20, facing=1.0):
    """A simple standing body [T, J, 3] in metres that faces +z (or -z)."""
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


def parts(figure):
    """{name: artist} of a strip."""
    return {artist.get_gid(): artist for artist in figure.get_children() if artist.get_gid()}


def bones(figure, part=None):
    """Ends [n, 2, 2] of the bones of a strip, or of one body part, (x, y) from the lower left."""
    drawn = parts(figure)["bones"]
    segments, colours = np.array(drawn.get_segments()), drawn.get_colors()
    if part is None:
        return segments
    return segments[[same_color(colour, pictures.PART_COLOURS[part]) for colour in colours]]


def along(figure, name):
    """The points [n, 2] of one of a strip's lines."""
    return parts(figure)[name].get_xydata()


@pytest.mark.parametrize("name", sorted(SKELETONS))
@pytest.mark.parametrize("num_frames", [1, 3, 250])
def test_strip_of_every_skeleton(name, num_frames):
    skeleton = SKELETONS[name]
    figure = pictures.strip_figure(standing(skeleton, num_frames), skeleton)
    poses = min(num_frames, 8)
    assert len(bones(figure)) == poses * len(skeleton.bones)
    assert len(along(figure, "heads")) == poses == len(along(figure, "path_poses"))
    outer = [joint for chain in skeleton.chains for joint in chain[1:]]
    assert len(set(outer)) == len(outer)
    for part, chain in zip(skeleton.chain_names, skeleton.chains, strict=True):
        least = sum(child in chain[1:] for _, child in skeleton.bones)
        count = len(bones(figure, part))
        assert count >= poses * least and (part == "torso" or count == poses * least > 0)
        assert least > 0 or chain == (0,)  # a head alone, from which the limbs hang
    # Everything is above the floor and left of the path.
    x, y = bones(figure)[..., 0], bones(figure)[..., 1]
    floor, edge = along(figure, "floor"), along(figure, "edge")
    assert floor[0, 0] == 0 <= x.min() and x.max() <= floor[1, 0] == 960 - 112
    assert floor[0, 1] <= y.min() + 1e-3 and y.max() <= 176
    assert floor[1, 0] < edge[0, 0] < along(figure, "path")[:, 0].min()
    assert along(figure, "path")[:, 0].max() < 960


@pytest.mark.parametrize("facing", [1, -1])
def test_the_body_is_seen_from_the_front_for_every_facing(facing):
    skeleton = SKELETONS["smpl22"]
    figure = pictures.strip_figure(standing(skeleton, facing=facing), skeleton, num_poses=1)
    x = {part: bones(figure, part)[..., 0].mean() for part in pictures.PART_COLOURS}
    assert x["left_arm"] > x["right_arm"] + 10
    assert x["left_leg"] > x["right_leg"] + 5


def test_the_near_side_covers_the_far_one():
    # The camera is to the body's right, so the right arm is drawn after the left one.
    skeleton = SKELETONS["smpl22"]
    figure = pictures.strip_figure(standing(skeleton), skeleton, num_poses=1)
    colours = parts(figure)["bones"].get_colors()
    order = {
        part: [i for i, colour in enumerate(colours) if same_color(colour, of_part)]
        for part, of_part in pictures.PART_COLOURS.items()
    }
    assert np.mean(order["right_arm"]) > np.mean(order["torso"]) > np.mean(order["left_arm"])


def test_poses_follow_time_from_left_to_right():
    skeleton = SKELETONS["smpl22"]
    joints = standing(skeleton, 40)
    joints[20:, [16, 18, 20], 1] = (1.5, 1.8, 2.0)  # the left arm goes up half-way
    figure = pictures.strip_figure(joints, skeleton, num_poses=4, width=512)
    slot = 400 / 4.2
    poses = np.reshape(bones(figure), (4, -1, 2, 2))[..., 0].mean(axis=(1, 2))
    np.testing.assert_allclose(np.diff(poses), slot, atol=slot / 5)
    top = np.reshape(bones(figure, "left_arm"), (4, -1))[:, 1::2].max(axis=1)
    assert min(top[2:]) > max(top[:2]) + 20


def test_travel_shows_in_the_path_only():
    skeleton = SKELETONS["smpl22"]
    still = standing(skeleton)
    walk = still + np.linspace(0, 5, len(still))[:, None, None] * np.array([0, 0, 1])
    a, b = (pictures.strip_figure(joints, skeleton) for joints in (still, walk))
    np.testing.assert_allclose(bones(a), bones(b), atol=1e-2)
    np.testing.assert_allclose(along(a, "heads"), along(b, "heads"), atol=1e-2)
    # The path grows upwards, the way the body faces.
    assert np.ptp(along(a, "path"), axis=0).max() == 0
    x, y = along(b, "path").T
    assert np.ptp(x) < 1e-3 and np.all(np.diff(y) > 0) and np.ptp(y) > 40
    np.testing.assert_array_equal(along(b, "start"), along(b, "path")[:1])
    np.testing.assert_array_equal(along(b, "end"), along(b, "path")[-1:])


def test_the_path_is_seen_from_above_and_jitter_is_not_enlarged():
    skeleton = SKELETONS["smpl22"]
    still = standing(skeleton)
    way = np.linspace(0, 1, len(still))[:, None, None] * np.array([1, 0, 1])  # to the left, forward

    def path(length):
        return along(pictures.strip_figure(still + length * way, skeleton), "path")

    far, near = path(4), path(0.01)
    np.testing.assert_allclose(far, path(400), atol=1e-2)  # as large as there is room
    assert np.all(np.diff(far[:, 0]) < 0) and np.all(np.diff(far[:, 1]) > 0)
    assert np.ptp(near, axis=0).max() < 1


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_the_triangle_points_where_the_body_faces_at_the_end(degrees):
    skeleton = SKELETONS["smpl22"]
    joints = standing(skeleton)
    turn = np.deg2rad(degrees)  # to the left, seen from above: from +z to +x
    joints[-1] = joints[-1] @ [
        [np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]
    ]  # fmt: skip
    sides, _, shown = parts(pictures.strip_figure(joints, skeleton))["end"].get_marker()
    assert sides == 3
    # Markers turn anticlockwise, as the body does.
    assert np.cos(np.deg2rad(shown) - turn) == pytest.approx(1, abs=1e-5)


def test_scale_and_unit_do_not_matter():
    skeleton = SKELETONS["smpl22"]
    joints = standing(skeleton) * np.linspace(1, 1.2, 20, dtype=np.float32)[:, None, None]
    metres = pictures.strip_figure(joints, skeleton)
    millimetres = pictures.strip_figure(1000 * joints, skeleton)
    np.testing.assert_allclose(bones(metres), bones(millimetres), atol=1e-2)
    for name in ("heads", "path", "end"):
        np.testing.assert_allclose(along(metres, name), along(millimetres, name), atol=1e-2)
    sizes = [parts(figure)["heads"].get_markersize() for figure in (metres, millimetres)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)
    torso = np.ptp(bones(metres, "torso")[..., 1])  # pixels
    assert torso / 8 < sizes[0] < torso / 3


def test_bones_are_drawn_at_their_positions():
    skeleton = SKELETONS["smpl22"]
    size = {"num_poses": 1, "width": 240, "height": 120}
    figure = pictures.strip_figure(standing(skeleton, 1), skeleton, **size)
    image = pictures.skeleton_strip(standing(skeleton, 1), skeleton, **size)
    assert image.shape == (120, 240, 3) and image.dtype == np.uint8
    for part, colour in pictures.PART_COLOURS.items():
        x, y = bones(figure, part).mean(axis=1).T.astype(int)  # the middle of each bone
        distance = np.abs(image[119 - y, x] - 255 * np.array(to_rgb(colour))).max(axis=-1)
        assert distance.min() < 40, part


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


def test_a_body_collapsed_to_a_point_can_be_drawn():
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


def test_png_is_lossless():
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(pictures.png(image)))), image)
    few = Image.open(io.BytesIO(pictures.png(image, colours=8))).convert("RGB")
    assert few.size == (9, 7) and len(few.getcolors()) <= 8
    assert pictures.data_uri(image).startswith("data:image/png;base64,iVBOR")

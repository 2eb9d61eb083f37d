"""Pictures of motion: skeleton strips, and motion patches as images.

matplotlib is imported when the first strip is drawn. Only its Agg canvas is used, so neither a
display nor pyplot state is needed.
"""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from motionalign.skeleton import SIDES, Skeleton

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Blue is the right side and orange the left, which all kinds of colour vision can distinguish; on
# each side, the leg is darker than the arm.
PART_COLOURS = {
    "right_leg": "#1d4e89",
    "right_arm": "#3f9ae0",
    "torso": "#475569",
    "left_arm": "#f5a524",
    "left_leg": "#c2410c",
}

_VIEW = np.deg2rad(40)  # angle of the camera from straight ahead towards the body's right

_FLOOR, _TOP = 14, 10  # pixels kept free below and above the figure

INSET = 112  # width in pixels of the path seen from above, at the right


def skeleton_strip(
    joints: np.ndarray,
    skeleton: Skeleton,
    num_poses: int = 8,
    width: int = 960,
    height: int = 176,
    unit: str | None = None,
) -> np.ndarray:
    """Draws a clip as a sequence of poses from left to right, and its path from above at the right.

    All poses share one camera, fixed to the initial facing direction of the body, so that turns are
    visible. Each pose is centred on its root, so that travel is visible only in the path. There,
    the initial facing direction is up, a ring marks the start, and a triangle marks the end and
    points in the final facing direction.

    Args:
      joints: [T, J, 3], Y up, any unit.
      skeleton: the J joints.
      num_poses: number of poses, evenly spread over the clip.
      width: width in pixels.
      height: height in pixels.
      unit: name of the unit of the joints; if given, a rule at the left tells how tall the first
        pose is, so that a wrong unit is seen.

    Returns:
      [height, width, 3] uint8 RGB.

    Raises:
      ValueError: joints do not have the shape of the skeleton, or are not finite.
    """
    return rendered(strip_figure(joints, skeleton, num_poses, width, height, unit))


def strip_figure(
    joints: np.ndarray,
    skeleton: Skeleton,
    num_poses: int = 8,
    width: int = 960,
    height: int = 176,
    unit: str | None = None,
) -> "Figure":
    """The figure of `skeleton_strip`, before it is rendered.

    The figure has no axes: its artists use pixels from the lower left corner, and are named by
    their `gid` ("floor", "bones", "heads", "edge", "path", "path_poses", "start", "end", and with
    a unit "rule" and "height").
    """
    joints = np.asarray(joints, np.float32)
    if joints.ndim != 3 or joints.shape[1:] != (skeleton.num_joints, 3) or not len(joints):
        raise ValueError(
            f"a strip of {skeleton.name} needs joints [T, {skeleton.num_joints}, 3]; "
            f"found {joints.shape}"
        )
    if not np.isfinite(joints).all():
        raise ValueError("a strip needs finite joints; found NaN or infinity")

    from matplotlib.figure import Figure

    frames = np.unique(np.linspace(0, len(joints) - 1, num_poses).round().astype(int))
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    points, depth, scale = _placed(joints, frames, skeleton, (width - INSET, height), num_poses)
    _draw_poses(figure, points, depth, skeleton, width - INSET, scale * _spine(joints, skeleton))
    if unit is not None:
        _draw_rule(figure, points[0], scale, unit)
    _draw_path(figure, joints, frames, skeleton, (width, height))
    return figure


def rendered(figure: "Figure") -> np.ndarray:
    """A figure as an image [height, width, 3] uint8 RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def patch_image(patches: np.ndarray, reach: float = 2.5) -> np.ndarray:
    """Motion patches as an image: x, y, z are red, green, blue (Motion Patches, Figure 4).

    Args:
      patches: [T, 5N, 3] z-scores; rows are frames, columns the points of the five body parts.
      reach: z-score of full brightness; -reach is black, 0 is mid-grey.

    Returns:
      [T, 5N, 3] uint8 RGB.
    """
    patches = np.asarray(patches, np.float32)
    if patches.ndim != 3 or patches.shape[-1] != 3:
        raise ValueError(f"a patch image needs patches [T, 5N, 3]; found {patches.shape}")
    return np.round(255 * np.clip(0.5 + patches / (2 * reach), 0, 1)).astype(np.uint8)


def png(image: np.ndarray, colours: int | None = None) -> bytes:
    """An image [height, width, 3] uint8 RGB as the bytes of a PNG file.

    `colours` limits the number of colours (64 suffice for a strip and take a third of the size).
    """
    from PIL import Image

    picture = Image.fromarray(image)
    if colours is not None:
        picture = picture.quantize(colours, method=Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def data_uri(image: np.ndarray, colours: int | None = None) -> str:
    """`png(image, colours)` as a data URI, which embeds the image in an HTML page."""
    return "data:image/png;base64," + base64.b64encode(png(image, colours)).decode()


def _placed(
    joints: np.ndarray,
    frames: np.ndarray,
    skeleton: Skeleton,
    room: tuple[float, float],
    num_poses: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The poses of P frames side by side, with one camera and one scale for all.

    `room` is the available width and height in pixels. Returns points [P, J, 2] in pixels from the
    lower left, depth [P, J] (larger is nearer to the viewer), and pixels per unit of length.
    """
    width, height = room
    root = skeleton.parents.index(-1)
    forward, left = _facing(joints[0], skeleton)
    right_of_screen = np.sin(_VIEW) * forward + np.cos(_VIEW) * left
    to_viewer = np.cross(right_of_screen, (0, 1, 0))

    body = joints - joints[:, root : root + 1] * np.array([1, 0, 1], np.float32)  # [T, J, 3]
    body[..., 1] -= body[..., 1].min()
    across = body @ right_of_screen  # [T, J]
    across -= (across.min() + across.max()) / 2
    # Wide poses may overlap by a fifth of a slot before the figure is scaled down.
    slot = width / (num_poses + 0.2)
    scale = min(
        (height - _FLOOR - _TOP) / max(1.07 * body[..., 1].max(), 1e-6),
        1.2 * slot / max(2 * across.max(), 1e-6),
    )
    centre = slot * (np.arange(len(frames)) + 0.6)
    points = np.stack(
        [centre[:, None] + scale * across[frames], _FLOOR + scale * body[frames, :, 1]], axis=-1
    )
    return points, (body @ to_viewer)[frames], scale


def _draw_poses(
    figure: "Figure",
    points: np.ndarray,
    depth: np.ndarray,
    skeleton: Skeleton,
    width: float,
    spine: float,
) -> None:
    """Draws poses [P, J, 2] on a floor `width` pixels wide; `spine` is the torso's length."""
    from matplotlib.collections import LineCollection
    from matplotlib.transforms import IdentityTransform

    _draw(figure, "floor", [(0, _FLOOR), (width, _FLOOR)], color="#cbd5e1", linewidth=1)
    parents, children = np.array(skeleton.bones).T
    # Far bones first, pose by pose, so that near ones cover them.
    order = np.argsort(depth[:, parents] + depth[:, children], axis=1)
    bones = np.stack([points[:, parents], points[:, children]], axis=2)  # [P, bones, 2, 2]
    bones = np.take_along_axis(bones, order[..., None, None], axis=1).reshape(-1, 2, 2)
    colours = np.array(_bone_colours(skeleton))[order].ravel()
    style: dict[str, Any] = {
        "linewidths": 2,
        "capstyle": "round",
        "transform": IdentityTransform(),
    }
    figure.add_artist(LineCollection(list(bones), colors=colours, gid="bones", **style))
    neck, head = _trunk(points, skeleton)[-2:]
    crown = head + 0.35 * (head - neck)
    style = {"color": PART_COLOURS["torso"], "marker": "o", "linestyle": "", "zorder": 3}
    _draw(figure, "heads", crown, markersize=0.19 * spine, **style)


def _draw_rule(figure: "Figure", pose: np.ndarray, scale: float, unit: str) -> None:
    """Draws a rule beside a pose [J, 2] in pixels: from its lowest to its highest joint."""
    from matplotlib.transforms import IdentityTransform

    low, high = pose[:, 1].min(), pose[:, 1].max()
    _draw(figure, "rule", [(5, low), (5, high)], color="#94a3b8", marker="_", markersize=6)
    label = f"{(high - low) / scale:.3g} {unit}"
    style: dict[str, Any] = {"color": "#64748b", "fontsize": 7, "rotation": 90, "va": "center"}
    figure.text(9, (low + high) / 2, label, transform=IdentityTransform(), gid="height", **style)


def _draw_path(
    figure: "Figure",
    joints: np.ndarray,
    frames: np.ndarray,
    skeleton: Skeleton,
    size: tuple[int, int],
) -> None:
    """Draws the path from above at the right of a strip of `size` (width, height)."""
    width, height = size
    path, turn = _path_from_above(joints, skeleton, 2.5 * _spine(joints, skeleton))
    path = (width - INSET / 2, height / 2) + path * (min(INSET, height) - 36)
    edge = width - INSET + 4
    _draw(figure, "edge", [(edge, 12), (edge, height - 12)], color="#e2e8f0")
    _draw(figure, "path", path, color="#94a3b8", linewidth=1.5)
    dots = {"color": "#94a3b8", "marker": "o", "markersize": 2.5, "linestyle": ""}
    _draw(figure, "path_poses", path[frames], **dots)
    ends = {"color": "#475569", "linestyle": "", "zorder": 3}
    _draw(figure, "start", path[:1], marker="o", markersize=6.5, fillstyle="none", **ends)
    _draw(figure, "end", path[-1:], marker=(3, 0, turn), markersize=7, **ends)


def _draw(figure: "Figure", name: str, points: np.typing.ArrayLike, **style: Any) -> None:
    """Adds a line through points [n, 2] in pixels from the lower left; much cheaper than Axes."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import IdentityTransform

    line = Line2D(*np.transpose(points), gid=name, transform=IdentityTransform(), **style)
    figure.add_artist(line)


def _trunk(joints: np.ndarray, skeleton: Skeleton) -> list[np.ndarray]:
    """Points [..., C] from the pelvis to the head of joints [..., J, C]: the torso's chain.

    Where it is a single joint, the head, the middles of hips and shoulders come before it.
    """
    chains = dict(zip(skeleton.chain_names, skeleton.chains, strict=True))
    torso = [joints[..., joint, :] for joint in chains["torso"]]
    if len(torso) > 1:
        return torso
    pairs = [[chains[f"{side}_{limb}"][1] for side in SIDES] for limb in ("leg", "arm")]
    return [joints[..., pair, :].mean(-2) for pair in pairs] + torso


def _spine(joints: np.ndarray, skeleton: Skeleton) -> float:
    """Length of the torso along its bones, which no posture changes."""
    return np.linalg.norm(np.diff(_trunk(joints[0], skeleton), axis=0), axis=1).sum()


def _facing(pose: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal unit vectors [3]: the facing direction of a pose [J, 3] and its left (by hips)."""
    hips = [
        skeleton.chains[skeleton.chain_names.index(leg)][1] for leg in ("left_leg", "right_leg")
    ]
    left = (pose[hips[0]] - pose[hips[1]]) * np.array([1, 0, 1], np.float32)
    length = np.linalg.norm(left)
    left = left / length if length > 1e-6 else np.array([1, 0, 0], np.float32)
    return np.cross(left, (0, 1, 0)), left


def _bone_colours(skeleton: Skeleton) -> list[str]:
    """The colour of each of `skeleton.bones`: that of the body part of its outer joint."""
    part = {
        joint: name
        for name, chain in zip(skeleton.chain_names, skeleton.chains, strict=True)
        for joint in chain[1:]
    }
    return [PART_COLOURS[part.get(child, "torso")] for _, child in skeleton.bones]


def _path_from_above(
    joints: np.ndarray, skeleton: Skeleton, least: float
) -> tuple[np.ndarray, float]:
    """The path of the root [T, 2] in -0.5..0.5, and the final facing direction in degrees.

    The initial facing direction is up. A path shorter than `least` is drawn at the scale of
    `least`, so that a body standing still is a dot and not enlarged jitter.
    """
    forward, left = _facing(joints[0], skeleton)
    root = joints[:, skeleton.parents.index(-1)]
    path = np.stack([-(root @ left), root @ forward], axis=-1)
    extent = max(np.ptp(path, axis=0).max(), least, 1e-6)
    last, _ = _facing(joints[-1], skeleton)
    turn = np.rad2deg(np.arctan2(last @ left, last @ forward))
    return (path - (path.min(axis=0) + path.max(axis=0)) / 2) / extent, float(turn)

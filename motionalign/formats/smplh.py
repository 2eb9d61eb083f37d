"""Joints of the SMPL-H body from shape and pose (Loper et al., 2015; Romero et al., 2017).

What AMASS files hold becomes joint positions by forward kinematics, in NumPy: joints need neither
the skin nor the pose blend shapes, only where they rest in this body and how they are turned.
"""

import dataclasses
import pathlib
import zipfile

import numpy as np

from motionalign.skeleton import SKELETONS

NUM_BODY = 22  # the first joints of SMPL-H, in SMPL's order; its hands' 30 follow

PARENTS = SKELETONS["smpl22"].parents

# AMASS has Z up, we have Y up: a turn about x by minus 90 degrees.
Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclasses.dataclass(frozen=True)
class SMPLH:
    """Where the body's joints rest, as a linear function of its shape.

    joints: [22, 3] metres, of the mean shape. directions: [22, 3, B], for each shape component.
    """

    joints: np.ndarray
    directions: np.ndarray

    @classmethod
    def read(cls, path: str | pathlib.Path) -> "SMPLH":
        """Reads `model.npz` of https://mano.is.tue.mpg.de, "Extended SMPL+H model".

        Raises:
          ValueError: another kind of file (a .pkl is never unpickled), or one that is damaged or
            lacks what is needed.
        """
        path = pathlib.Path(path)
        if path.suffix != ".npz":
            raise ValueError(
                f"{path}: the body model is read from model.npz, never from a pickle, which can "
                "run any code; the download page has both"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {
                    name: np.asarray(file[name], np.float64)
                    for name in ("v_template", "shapedirs", "J_regressor")
                }
                parents = np.asarray(file["kintree_table"])[0, :NUM_BODY].astype(np.int64)
        except KeyError as error:
            raise ValueError(f"{path} is no SMPL-H model: {error}") from error
        except (OSError, ValueError, EOFError, IndexError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} cannot be read as arrays: {error}") from error
        template, directions, regressor = arrays.values()
        vertices = len(template)
        if (
            template.shape != (vertices, 3)
            or directions.shape[:2] != (vertices, 3)
            or directions.ndim != 3
            or regressor.ndim != 2
            or regressor.shape[1] != vertices
            or len(regressor) < NUM_BODY
        ):
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in arrays.items())
            raise ValueError(
                f"{path} has {shapes}; expected [V, 3], [V, 3, B] and [at least {NUM_BODY}, V]"
            )
        if tuple(parents[1:]) != PARENTS[1:]:
            raise ValueError(f"{path}: kintree_table is not SMPL's tree: parents {list(parents)}")
        regressor = regressor[:NUM_BODY]
        return cls(regressor @ template, np.einsum("jv,vcb->jcb", regressor, directions))

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        """[22, 3] of a body of this shape [B']; components that one side lacks are left out."""
        count = min(len(betas), self.directions.shape[-1])
        return self.joints + self.directions[..., :count] @ np.asarray(betas[:count], np.float64)


def rotation_matrices(axis_angle: np.ndarray) -> np.ndarray:
    """[..., 3] radians along the axis to matrices [..., 3, 3] (Rodrigues' formula)."""
    vector = np.asarray(axis_angle, np.float64)
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    cross = cross.reshape(*vector.shape[:-1], 3, 3)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    # sin(a) / a and (1 - cos(a)) / a**2, by functions that are smooth at 0.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.square(np.sinc(angle / (2 * np.pi)))
    return np.eye(3) + first * cross + second * (cross @ cross)


def rotation_6d(matrices: np.ndarray) -> np.ndarray:
    """[..., 3, 3] to [..., 6]: the first two rows, as the published code has it."""
    return matrices[..., :2, :].reshape(*matrices.shape[:-2], 6)


def forward_kinematics(
    rotations: np.ndarray, rest_joints: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """Joint positions of a clip.

    Args:
      rotations: [T, 22, 3, 3], of each joint relative to its parent.
      rest_joints: [22, 3].
      translation: [T, 3].

    Returns:
      [T, 22, 3].
    """
    world = np.empty_like(rotations)
    joints = np.empty((*rotations.shape[:2], 3))
    for joint, parent in enumerate(PARENTS):  # over the tree, never over frames
        if parent < 0:
            world[:, joint] = rotations[:, joint]
            joints[:, joint] = rest_joints[joint] + translation
            continue
        world[:, joint] = world[:, parent] @ rotations[:, joint]
        bone = rest_joints[joint] - rest_joints[parent]
        joints[:, joint] = joints[:, parent] + world[:, parent] @ bone
    return joints


def pose_clip(
    body: SMPLH, poses: np.ndarray, translation: np.ndarray, betas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A clip of an AMASS file, brought from Z up to Y up.

    Args:
      body: of the file's gender.
      poses: [T, at least 66], axis-angles of the joints, the body's 22 first.
      translation: [T, 3] metres.
      betas: [B].

    Returns:
      joints [T, 22, 3] float32 in metres, and rotations [T, 22, 6] float32 relative to the parent,
      the root's to the world.

    Raises:
      ValueError: wrong shapes, or numbers that are not finite.
    """
    poses, translation = np.asarray(poses), np.asarray(translation)
    if poses.ndim != 2 or poses.shape[1] < 3 * NUM_BODY:
        raise ValueError(f"poses is {list(poses.shape)}; expected [frames, {3 * NUM_BODY} or more]")
    if translation.shape != (len(poses), 3):
        raise ValueError(f"trans is {list(translation.shape)}; expected [{len(poses)}, 3]")
    if not (np.isfinite(poses).all() and np.isfinite(translation).all()):
        raise ValueError("poses or trans hold values that are not finite")
    rotations = rotation_matrices(poses[:, : 3 * NUM_BODY].reshape(-1, NUM_BODY, 3))
    rest = body.rest_joints(np.asarray(betas))
    rotations[:, 0] = Z_UP_TO_Y_UP @ rotations[:, 0]
    # The body turns about its pelvis, which does not rest at the origin: it moves with the world.
    moved = (translation + rest[0]) @ Z_UP_TO_Y_UP.T - rest[0]
    joints = forward_kinematics(rotations, rest, moved)
    return joints.astype(np.float32), rotation_6d(rotations).astype(np.float32)

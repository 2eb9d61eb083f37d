"""Reads mutated motion files of every format, up to the joints of a model.

    python tests/mutated_motions.py BASE 1234 1235 --show

See tests/mutated_reads.py, which does the work. The valid files are written here.
"""

import json
import os
import pathlib
import sys
from xml.sax.saxutils import quoteattr

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]

import bodies  # noqa: E402
import c3d_files  # noqa: E402
import fbx_files  # noqa: E402
import gltf_files  # noqa: E402
import motion_files  # noqa: E402
import mutated_reads  # noqa: E402
import mutations  # noqa: E402
import numpy as np  # noqa: E402
from mutated_reads import Target  # noqa: E402
from published_files import write_amass, write_smplh  # noqa: E402
from scipy.io import savemat  # noqa: E402

from motionalign.formats import ntu_skeleton  # noqa: E402
from motionalign.skeleton import SKELETONS  # noqa: E402

FRAMES = 24
KINECT20 = SKELETONS["kinect20"]
COCO18 = SKELETONS["coco18"]


def build(base: pathlib.Path) -> None:
    """One valid file of every format."""
    if (base / "complete").exists():
        return
    joints = motion_files.human()
    values = motion_files.swing(joints, FRAMES)
    motion_files.write_bvh(base / "clip.bvh", joints, values)
    free = motion_files.human(prefix="a:", channels="xyzZXY")
    motion_files.write_bvh(
        base / "free.bvh", free, motion_files.swing(free, FRAMES), newline="\r\n"
    )
    (base / "cmu").mkdir()
    motion_files.write_asf(base / "cmu" / "clip.asf", joints)
    motion_files.write_amc(base / "cmu" / "clip.amc", joints, values)
    body = bodies.body(FRAMES, "kinect20").astype(np.float64)
    _build_text(base, body)
    _build_json(base, body)
    _build_arrays(base, body)
    c3d_files.write(base / "clip.c3d", body * 1000, list(KINECT20.joint_names))
    fbx_files.walker(FRAMES).write(base / "clip.fbx")
    scene = gltf_files.walker(FRAMES)
    scene.write(base / "clip.glb")
    scene.write(base / "clip.gltf")
    (base / "complete").touch()


def _build_text(base: pathlib.Path, body: np.ndarray) -> None:
    names, count = KINECT20.joint_names, len(KINECT20.joint_names)
    rows = body.reshape(FRAMES, -1).round(5)
    trc = ["PathFileType\t4\t(X/Y/Z)\tclip.trc",
           "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits",
           f"30\t30\t{FRAMES}\t{count}\tm",
           "\t".join(["Frame#", "Time", *(f"{name}\t\t" for name in names)]),
           "\t".join(["", "", *(f"{c}{i + 1}" for i in range(count) for c in "XYZ")]),
           ""]  # fmt: skip
    trc += ["\t".join([str(t + 1), f"{t / 30:.5f}", *map(str, row)]) for t, row in enumerate(rows)]
    (base / "clip.trc").write_text("\n".join(trc), "utf-8")

    cells = np.concatenate([np.tile([0.0, 0, 0, 1], (FRAMES, count, 1)), body.round(4)], axis=-1)
    head = {"Format Version": "1.25", "Take Name": "läuft", "Export Frame Rate": "30",
            "Rotation Type": "Quaternion", "Length Units": "Meters",
            "Coordinate Space": "Global"}  # fmt: skip
    parents = ["Root" if p < 0 else f"A:{names[p]}" for p in KINECT20.parents]

    def seven(texts: list) -> str:
        return ",".join(text for text in texts for _ in range(7))

    csv = [",".join(f"{key},{value}" for key, value in head.items()), "",
           f",Type,{seven(['Bone'] * count)}",
           f",Name,{seven([f'A:{name}' for name in names])}",
           f",ID,{seven([f'{i:X}' for i in range(count)])}",
           f",Parent,{seven(parents)}",
           f",,{','.join((['Rotation'] * 4 + ['Position'] * 3) * count)}",
           f"Frame,Time (Seconds),{','.join(['X,Y,Z,W,X,Y,Z'] * count)}"]  # fmt: skip
    csv += [f"{t},{t / 30:.6f}," + ",".join(map(str, row.ravel())) for t, row in enumerate(cells)]
    (base / "clip.csv").write_text("\ufeff" + "\n".join(csv), "utf-8")

    lines = [str(FRAMES)]
    ntu = np.zeros((FRAMES, 25, 3))
    ntu[:, :20] = body + np.array([0, 0, 3])
    for frame in ntu.round(5):
        lines += ["1", "72057594037931648 0 1 1 1 1 0 -0.1 0.1 2", "25"]
        lines += [f"{x} {y} {z} 1 1 1 1 0 0 0 1 2" for x, y, z in frame]
    assert len(ntu_skeleton.JOINT_NAMES) == 25
    sbu = np.repeat(body[:, None, [3, 2, 1, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19]], 2, axis=1)
    sbu = ([1.28, 0.96, 0] - sbu) / [2.56, 1.92, -1.28]
    place = base / "s01s02" / "05" / "001"
    place.mkdir(parents=True)
    text = (",".join([str(t), *map(str, row.ravel().round(5))]) for t, row in enumerate(sbu))
    (place / "skeleton_pos.txt").write_text("\n".join(text), "utf-8")
    (base / "S001C001P001R001A001.skeleton").write_text("\r\n".join(lines), "utf-8")
    _build_mvnx(base)


def _build_mvnx(base: pathlib.Path) -> None:
    names = (
        "Pelvis L5 L3 T12 T8 Neck Head RightShoulder RightUpperArm RightForeArm RightHand "
        "LeftShoulder LeftUpperArm LeftForeArm LeftHand RightUpperLeg RightLowerLeg RightFoot "
        "RightToe LeftUpperLeg LeftLowerLeg LeftFoot LeftToe"
    ).split()
    smpl = bodies.body(FRAMES, "smpl22").astype(np.float64)[..., [2, 0, 1]]
    of = [0, 3, 3, 6, 9, 12, 15, 14, 17, 19, 21, 13, 16, 18, 20, 2, 5, 8, 11, 1, 4, 7, 10]
    rows = smpl[:, of].reshape(FRAMES, -1).round(5)
    segments = "".join(
        f'<segment label={quoteattr(name)} id="{i + 1}"><points/></segment>'
        for i, name in enumerate(names)
    )
    turned = " ".join(["1 0 0 0"] * len(names))

    def frame(kind: str, number: int, row: np.ndarray) -> str:
        return (
            f'<frame time="{number * 16}" index="{number}" type="{kind}" ms="{number}">'
            f"<orientation>{turned}</orientation>"
            f"<position>{' '.join(map(str, row))}</position></frame>\n"
        )

    frames = frame("tpose", 0, rows[0])
    frames += "".join(frame("normal", t, row) for t, row in enumerate(rows))
    (base / "clip.mvnx").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<mvnx xmlns="http://www.xsens.com/mvn/mvnx" version="4">'
        f'<subject label="A" frameRate="60" segmentCount="{len(names)}">'
        f"<segments>{segments}</segments>"
        f'<frames segmentCount="{len(names)}">{frames}</frames></subject></mvnx>',
        "utf-8",
    )


def _build_json(base: pathlib.Path, body: np.ndarray) -> None:
    (base / "openpose").mkdir()
    flat = bodies.body(FRAMES, "kinect20")
    of = [3, 2, 8, 9, 10, 4, 5, 6, 16, 17, 18, 12, 13, 14, 3, 3, 3, 3]
    for t, frame in enumerate(flat[:, of]):
        values = np.column_stack(
            [300 - 100 * frame[:, 0], 400 - 200 * frame[:, 1], frame[:, 2] * 0 + 0.9]
        )
        people = [{"person_id": [-1], "pose_keypoints_2d": values.ravel().round(3).tolist()}]
        path = base / "openpose" / f"clip_{t:012d}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": people}), "utf-8")
    points = np.repeat(flat[:, :1], 33, axis=1)
    frames = [
        {"keypoints": [{"x": float(x), "y": float(y), "z": float(z), "visibility": 0.9}
                       for x, y, z in frame]} for frame in points
    ]  # fmt: skip
    (base / "mediapipe.json").write_text(json.dumps(frames), "utf-8")
    poses = bodies.body(FRAMES, "smarthome13")[:, ::-1] * [1, -1, -1]
    found = [[{"pose3d": pose.T.ravel().round(5).tolist()}] for pose in poses]
    (base / "lcrnet.json").write_text(json.dumps({"njts": 13, "frames": found}), "utf-8")
    clip = {"file_name": "a01_s01_e00_v01", "skeletons": body.round(5).tolist(), "label": 1}
    (base / "a01_s01_e00_v01.json").write_text(json.dumps(clip), "utf-8")


def _build_arrays(base: pathlib.Path, body: np.ndarray) -> None:
    names = KINECT20.joint_names
    np.save(base / "joints.npy", bodies.body(FRAMES).astype(np.float32))
    np.save(base / "own.npy", body[:, None])
    chains = {
        part: [names[j] for j in chain]
        for part, chain in zip(KINECT20.chain_names, KINECT20.chains)
    }
    said = {
        "joint_names": list(names), "parents": list(KINECT20.parents), "fps": 30, "unit": "m",
        "up": "y", "chains": chains, "roles": {"left_knee": "left_knee"},
    }  # fmt: skip
    (base / "own.skeleton.json").write_text(json.dumps(said), "utf-8")
    np.save(base / "vecs.npy", np.zeros((FRAMES, 263), np.float32))
    np.savez(base / "own.npz", joints=body, fps=30, joint_names=names, parents=KINECT20.parents)
    np.savez(
        base / "set.npz",
        positions_int16=(body[:, None] * 1000).astype(np.int16), scale=0.001,
        lengths=[10, FRAMES - 10], labels=[0, 1], subjects=[1, 2], views=[0, 0], trials=[1, 1],
        files=["a", "b"], class_names=["läuft", "sit"], joint_names=names,
        parents=KINECT20.parents, fps=30.0,
    )  # fmt: skip
    order = [3, 2, 1, 0, *range(4, 20)]
    savemat(base / "a1_s1_t1_skeleton.mat", {"d_skel": body[:, order].transpose(1, 2, 0)},
            do_compression=True)  # fmt: skip
    write_smplh(base / "smplh")
    write_amass(base / "walk.npz", 1, 24, 0)


def read(base: pathlib.Path, name: str, human: bool = True) -> None:
    """Everything that is done with a file on its way to a model.

    Of a file that is not of a human, what it is.
    """
    from motionalign import anatomy, formats

    smplh = base / "smplh"
    for motion in formats.read(base / name, smplh_dir=smplh if smplh.is_dir() else None):
        body = anatomy.understand(motion)
        where = f"{base / name}: {motion.name}"
        if not human:
            continue
        try:
            anatomy.require_human(body, where)
        except anatomy.NotHuman as error:
            raise ValueError(str(error)) from error
        if motion.dims == 2:
            continue
        try:
            found = anatomy.points(motion, body)
            _, own = anatomy.native(motion, body, found)
            joints = anatomy.smpl22(motion, body, found).joints
        except ValueError as error:  # these know no file
            raise ValueError(f"{where}: {error}") from error
        assert len(own) == len(joints) <= motion.num_frames
        assert np.isfinite(own).all()


def _of(name):
    return lambda base: read(base, name, human=not name.endswith((".fbx", ".glb", ".gltf")))


LINES, BYTES, JSON = mutations.of_lines, mutations.of_bytes, mutations.of_json
NPZ, NPY = mutations.of_npz, mutations.of_npy
_CLIPS = (
    ("clip.bvh", LINES), ("free.bvh", LINES), ("cmu/clip.amc", LINES), ("clip.c3d", BYTES),
    ("clip.fbx", BYTES), ("clip.glb", BYTES), ("clip.gltf", JSON), ("clip.trc", LINES),
    ("clip.csv", LINES),
    ("S001C001P001R001A001.skeleton", LINES), ("clip.mvnx", LINES), ("mediapipe.json", JSON),
    ("joints.npy", NPY), ("own.npy", NPY), ("vecs.npy", NPY), ("own.npz", NPZ), ("set.npz", NPZ),
    ("s01s02/05/001/skeleton_pos.txt", LINES), ("a01_s01_e00_v01.json", JSON),
    ("a1_s1_t1_skeleton.mat", BYTES), ("lcrnet.json", JSON),
    ("walk.npz", NPZ), ("clip.bvh", LINES), ("cmu/clip.amc", LINES),
)  # fmt: skip
TARGETS = (
    *(Target(pathlib.Path(name).suffix[1:], name, mutate, _of(name)) for name, mutate in _CLIPS),
    Target("asf", "cmu/clip.asf", LINES, _of("cmu/clip.amc")),
    Target("skeleton", "own.skeleton.json", JSON, _of("own.npy")),
    Target("json", "openpose/clip_000000000003_keypoints.json", JSON, _of("openpose")),
)


if __name__ == "__main__":
    mutated_reads.main(build, TARGETS)

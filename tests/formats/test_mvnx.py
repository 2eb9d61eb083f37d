"""Xsens's MVNX: subjects, calibration poses, landmarks, versions, and harmful XML."""

import itertools
import time

import mutations
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motionalign import formats
from motionalign.formats import mvnx

J = len(mvnx.SEGMENTS)
CONNECTED = {"L5": "Pelvis", "L3": "L5", "T12": "L3", "T8": "T12", "Neck": "T8", "Head": "Neck"}
for _side in ("Right", "Left"):
    CONNECTED |= {f"{_side}Shoulder": "T8", f"{_side}UpperLeg": "Pelvis"}
    for _chain in (("Shoulder", "UpperArm", "ForeArm", "Hand"),
                   ("UpperLeg", "LowerLeg", "Foot", "Toe")):  # fmt: skip
        for _above, _below in itertools.pairwise(_chain):
            CONNECTED[f"{_side}{_below}"] = f"{_side}{_above}"


def pose(frames=3, seed=0, segments=J):
    """Positions [T, segments, 3] and quaternions [T, segments, 4], the real part first."""
    rng = np.random.default_rng(seed)
    turns = rng.normal(size=(frames, segments, 4))
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    return rng.normal(size=(frames, segments, 3)).round(6), turns


def row(values):
    return " ".join(repr(float(each)) for each in np.ravel(values))


def subject(label="Anna", seed=0, frames=3, rate="60", segments=mvnx.SEGMENTS, points=True,
            joints=True, point="pos_b", rests=("identity", "tpose", "tpose-isb"),
            kind=' type="normal"', orientation=True, start=0):  # fmt: skip
    """The text of a subject, its positions and quaternions; rest poses have other seeds."""
    out = [f'<subject label="{label}" frameRate="{rate}" segmentCount="{len(segments)}">']
    out.append("<comment>measured &amp; saved</comment><segments>")
    for i, name in enumerate(segments):
        out.append(f'<segment label="{name}" id="{i + 1}"><points>')
        if points:
            out.append(f'<point label="jOrigin"><{point}>0 0 0</{point}></point>')
        if points and name == "Head":
            out.append(f'<point label="pTopOfHead"><{point}>0.01 0.0 0.17</{point}></point>')
        out.append("</points></segment>")
    out.append('</segments><sensors><sensor label="T8"/></sensors>')
    if joints:
        out.append("<joints>")
        for child, above in CONNECTED.items():
            out.append(f'<joint label="j"><connector1>{above}/j</connector1>')
            out.append(f"<connector2>{child}/j</connector2></joint>")
        out.append("</joints>")
    out.append(f'<frames segmentCount="{len(segments)}">')
    positions, turns = pose(frames, seed, len(segments))
    rest = {name: pose(1, 100 + i, len(segments)) for i, name in enumerate(rests)}
    numbered = [(f' type="{name}"', *(each[0] for each in rest[name])) for name in rests]
    numbered += [
        (f'{kind} index="{start + i}"', *each) for i, each in enumerate(zip(positions, turns))
    ]
    for given, place, turn in numbered:
        out.append(f'<frame time="0"{given}>')
        out.append(f"<orientation>{row(turn)}</orientation>" if orientation else "")
        out.append(f"<position>{row(place)}</position><velocity>0 0 0</velocity>")
        out.append(f"<jointAngle>{row(turn)}</jointAngle></frame>")
    out.append("</frames></subject>")
    return "\n".join(out), positions, turns, rest


HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
MVNX = '<mvnx xmlns="http://www.xsens.com/mvn/mvnx" version="4">\n'


def write(path, *subjects, head=HEAD, root=MVNX, foot="</mvnx>"):
    path.write_text(head + root + "\n".join(subjects) + foot, "utf-8")
    return path


def test_segments_are_joints(tmp_path):
    content, positions, turns, rest = subject()
    (motion,) = formats.read(write(tmp_path / "take.mvnx", content))
    assert motion.joint_names == (*mvnx.SEGMENTS, "pTopOfHead")
    assert {
        name: motion.joint_names[parent]
        for name, parent in zip(motion.joint_names, motion.parents)
        if parent >= 0
    } == CONNECTED | {"pTopOfHead": "Head"}
    assert (motion.persons, motion.fps, motion.unit_in_metres) == (("Anna",), 60, 1)
    assert (motion.up, motion.convention, motion.notes) == ("z", "Xsens", ())
    np.testing.assert_array_equal(motion.positions[:, 0, :J], positions)
    head = mvnx.SEGMENTS.index("Head")
    for place, turn, found in (
        (positions, turns, motion.positions[:, 0]),
        (*rest["tpose"], motion.rest[None]),
    ):
        np.testing.assert_array_equal(found[:, :J], place)
        turned = Rotation.from_quat(turn[:, head, [1, 2, 3, 0]]).apply([0.01, 0, 0.17])
        np.testing.assert_allclose(found[:, J], place[:, head] + turned, atol=1e-12)


@pytest.mark.parametrize(
    "form",
    [
        {"joints": False}, {"point": "pos_s"}, {"kind": ""}, {"points": False},
        {"rests": ("identity", "npose")}, {"rests": ()}, {"orientation": False},
    ],
    ids=str,
)  # fmt: skip
def test_other_versions(tmp_path, form):
    content, positions, _, rest = subject(**form)
    (motion,) = formats.read(write(tmp_path / "take.mvnx", content, root=MVNX.replace("4", "3")))
    assert ("pTopOfHead" in motion.joint_names) == form.get("points", True)
    np.testing.assert_array_equal(motion.positions[:, 0, :J], positions)
    assert [motion.joint_names[motion.parents[j]] for j in (1, 7, 8, 19)] == [
        "Pelvis", "T8", "RightShoulder", "Pelvis",
    ]  # fmt: skip
    if rest:
        chosen = next(kind for kind in ("tpose", "npose") if kind in rest)
        np.testing.assert_array_equal(motion.rest[:J], rest[chosen][0][0])
    else:
        assert motion.rest is None
    if not form.get("orientation", True):
        assert np.isnan(motion.positions[:, 0, J]).all()


def test_prefixes_document_types_and_comments(tmp_path):
    content, positions, *_ = subject()
    content = content.replace("<", "<x:").replace("<x:/", "</x:")
    head = HEAD + '<!-- a "comment" -->\n<!DOCTYPE mvnx SYSTEM "file:///etc/passwd">\n'
    root = '<x:mvnx xmlns:x="http://www.xsens.com/mvn/mvnx" version="4">'
    path = write(tmp_path / "a.mvnx", content, head=head, root=root, foot="</x:mvnx>")
    (motion,) = formats.read(path)
    np.testing.assert_array_equal(motion.positions[:, 0, :J], positions)


def test_frames_alone_are_of_the_standard_segments(tmp_path):
    content, positions, *_ = subject()
    frames = content[content.index("<frames") : content.index("</subject>")]
    (motion,) = formats.read(write(tmp_path / "a.mvnx", frames, root="", foot=""))
    assert (motion.joint_names, motion.persons, motion.fps) == (mvnx.SEGMENTS, ("",), None)
    np.testing.assert_array_equal(motion.positions[:, 0], positions)


def test_subjects_are_persons(tmp_path):
    first, one, *_ = subject("Anna")
    second, two, *_ = subject("Ben", seed=5, frames=2, segments=(*mvnx.SEGMENTS, "Prop1"))
    (motion,) = formats.read(write(tmp_path / "a.mvnx", first, second))
    assert motion.persons == ("Anna", "Ben")
    joints = [motion.joint_names.index(name) for name in (*mvnx.SEGMENTS, "Prop1")]
    np.testing.assert_array_equal(motion.positions[:, 0][:, joints[:J]], one)
    np.testing.assert_array_equal(motion.positions[:2, 1][:, joints], two)
    assert np.isnan(motion.positions[:, 0, joints[J]]).all()
    assert np.isnan(motion.positions[2, 1]).all()
    assert motion.rest is None
    assert motion.notes == ("Its subjects have 3, 2 frames, from the same start.",)


def test_missing_frames_and_other_poses_are_noted(tmp_path):
    content, *_ = subject(rests=("tpose", "warmup"))
    content = content.replace('index="2"', 'index="7"')
    (motion,) = formats.read(write(tmp_path / "a.mvnx", content))
    assert motion.notes == (
        "The indices of the frames jump in 1 places, where frames are missing.",
        "Frames of the types warmup are left out.",
    )


LAUGHS = '<!DOCTYPE mvnx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<mvnx", "<!DOCTYPE x [" + '<!ENTITY a SYSTEM "file:///etc/passwd">' + "]><mvnx",
         r"line 2: the file defines the entity 'a'"),
        ("<mvnx", LAUGHS + "<mvnx", r"line 2: the file defines the entity 'a'"),
        ("</mvnx>", "", r"no element found; expected XML, complete to its end"),
        ("</segments>", "", r"mismatched tag; expected XML"),
        ("<mvnx", "<html", r"line 2: the element 'html'; expected 'mvnx'"),
        ("<subject", "<a>" * 200 + "<subject", r"more than 100 nested elements"),
        ('type="normal"', 'type="tpose"', r"no subject with a frame of type 'normal'; it has 1"),
        ('frameRate="60"', 'frameRate="-1"', r"frameRate is '-1'; expected a positive number"),
        ("<connector1>L5/j", "<connector1>L3/j", r"of its segments, the parents form a circle"),
        ("0.01 0.0 0.17", "0.01 0.17", r"line \d+: 2 values, expected 3"),
        (' id="23"><points>', ' id="23"></segment><segment label="Prop"><points>',
         r"line \d+: 69 values, expected 72"),
        ("<position>", "<position>x ", r"line \d+: 70 values, expected 69"),
        ("<position>", "<position>1e999 ", r"line \d+: 70 values, expected 69"),
        ("<velocity>", "<velocities>", r"mismatched tag"),
        ("</position><velocity>0 0 0", "<velocity>", r"line \d+: the element 'velocity' among"),
        ("UTF-8", "UTV-8", r"line 1: unknown encoding: UTV-8"),
    ],
)  # fmt: skip
def test_spoiled_files_are_refused_with_their_line(tmp_path, old, new, message):
    content, *_ = subject()
    path = write(tmp_path / "a.mvnx", content)
    given = path.read_text("utf-8")
    assert old in given
    count = -1 if old in ('type="normal"', "</mvnx>", "<position>") else 1
    path.write_text(given.replace(old, new, count), "utf-8")
    with pytest.raises(ValueError, match=rf"a\.mvnx.*{message}"):
        formats.read(path)


def test_frames_without_positions_are_refused(tmp_path):
    content, *_ = subject()
    at = content.rindex("<position>")
    content = content[:at] + content[content.index("<velocity>", at) :]
    with pytest.raises(ValueError, match=r"line \d+: a frame without position; expected an export"):
        formats.read(write(tmp_path / "a.mvnx", content))


def test_subjects_of_different_rates_are_refused(tmp_path):
    path = write(tmp_path / "a.mvnx", subject("Anna")[0], subject("Ben", rate="120")[0])
    with pytest.raises(ValueError, match="different frame rates: Anna 60, Ben 120"):
        formats.read(path)


def test_no_xml_at_all(tmp_path):
    for content in (b" ", b"\x00" * 100, b"HIERARCHY\nROOT Hips\n", "<mvnx/>".encode("utf-16")[:9]):
        (tmp_path / "a.mvnx").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.mvnx, line 1: .*; expected XML"):
            formats.read(tmp_path / "a.mvnx")


def test_a_minute_is_read_in_seconds(tmp_path):
    content, *_ = subject(frames=3600)
    path = write(tmp_path / "a.mvnx", content)
    start = time.perf_counter()
    (motion,) = formats.read(path)
    assert len(motion.positions) == 3600
    assert time.perf_counter() - start < 5


# In the BVH file of the same take; the ends of its chains are landmarks.
BVH = {
    "Hips": "Pelvis", "Chest": "L5", "Chest2": "L3", "Chest3": "T12", "Chest4": "T8",
    "Neck": "Neck", "Head": "Head", "Head_end": "pTopOfHead",
}  # fmt: skip
for _side in ("Right", "Left"):
    for _theirs, _ours in (
        ("Collar", "Shoulder"), ("Shoulder", "UpperArm"), ("Elbow", "ForeArm"), ("Wrist", "Hand"),
        ("Hip", "UpperLeg"), ("Knee", "LowerLeg"), ("Ankle", "Foot"), ("Toe", "Toe"),
    ):  # fmt: skip
        BVH[f"{_side}{_theirs}"] = f"{_side}{_ours}"
    BVH |= {f"{_side}Wrist_end": f"p{_side}TopOfHand", f"{_side}Toe_end": f"p{_side}Toe"}


def test_the_bvh_file_of_a_real_take_agrees(real_files):
    """Both name each joint's place: BVH in centimetres, Y up; its frame 0 is the T-pose.

    Arms differ by 2 mm, since collar bones do not shift in BVH.
    """
    (motion,) = formats.read(real_files / "mvnx" / "test_mocap.mvnx")
    (other,) = formats.read(real_files / "bvh" / "xsens_mvn_blender_test_mocap.bvh")
    assert motion.positions.shape == (112, 1, 28, 3)
    assert (motion.fps, motion.persons) == (60, ("MVN System 1",))
    assert other.fps == pytest.approx(60, abs=0.01)
    np.testing.assert_array_equal(motion.positions[0, 0, 1], [-0.033633, -0.000382, 0.109272])
    theirs = [other.joint_names.index(name) for name in BVH]
    ours = [motion.joint_names.index(name) for name in BVH.values()]
    assert len(set(ours)) == len(motion.joint_names) == len(other.joint_names)
    turned = other.positions[:, 0, theirs][..., [2, 0, 1]] / 100
    np.testing.assert_allclose(turned[0], motion.rest[ours], atol=1e-5)
    distance = np.linalg.norm(turned[1:] - motion.positions[1:, 0, ours], axis=-1)
    arms = [any(part in name for part in ("Collar", "Shoulder", "Elbow", "Wrist")) for name in BVH]
    assert distance[:, arms].max() < 2e-3
    assert distance[:, np.logical_not(arms)].max() < 2e-5


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    path = tmp_path / "a.mvnx"
    write(path, subject("Anna")[0], subject("Ben", seed=5)[0])
    assert 20 < mutations.refusals(path) < 100

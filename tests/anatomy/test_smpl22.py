"""Tests of motionalign.anatomy.smpl22."""

import dataclasses

import bvh_converter
import numpy as np
import pytest
from bodies import body as moving
from handmade import bandai_body, body_of, motion
from handmade import body as made_by_hand

from motionalign.anatomy.smpl22 import smpl22
from motionalign.conventions import Origin, canonical, measure
from motionalign.data.resample import resample
from motionalign.skeleton import SKELETONS

SMPL = SKELETONS["smpl22"]
JOINTS = moving(frames=25)
AT = {name: i for i, name in enumerate(SMPL.joint_names)}


def smpl_motion(joints=JOINTS, **fields):
    return motion(joints, SMPL.joint_names, SMPL.parents, **fields)


def without(*roles, body=None):
    """The body of SMPL's joints where some have no role and are no points."""
    body = body or body_of("smpl22")
    kept = [i for i, point in enumerate(body.points) if point.role not in roles]
    new = {old: i for i, old in enumerate(kept)}
    points = []
    for old in kept:
        parent = body.points[old].parent
        while parent >= 0 and parent not in new:
            parent = body.points[parent].parent
        points.append(body.points[old]._replace(parent=new.get(parent, -1)))
    chains = {part: tuple(new[i] for i in chain if i in new) for part, chain in body.chains.items()}
    return dataclasses.replace(body, points=tuple(points), chains=chains)


def test_smpl_joints_are_themselves():
    made = smpl22(smpl_motion(), body_of("smpl22"))
    np.testing.assert_array_equal(made.joints[:, 0], JOINTS)
    assert made.virtual == () and made.joints.dtype == np.float32


def test_the_spine_of_two_joints_is_that_of_the_converter_and_the_library(bvh_files, mocap_folder):
    """The 40 files: joints of an independent converter, and the clips that they were made to."""
    for path in bvh_files:
        names, parents, places, rate = bvh_converter.all_joints_of(path)
        given = motion(places, names, tuple(parents), rate)
        made = smpl22(given, bandai_body(names, parents))
        assert made.virtual == ("spine2",)
        joints = resample(made.joints[:, 0], rate, 20.0)
        np.testing.assert_allclose(joints, bvh_converter.joints_of(path), atol=2e-6)
        clip = canonical(joints, SMPL)
        own = np.load(mocap_folder / "new_joints" / f"{path.stem.partition('_')[2]}.npy")
        np.testing.assert_allclose(clip, own, rtol=2**-11, atol=1e-4)  # stored as float16
        assert Origin().holds(measure(clip, SMPL))


@pytest.mark.parametrize(
    ("missing", "virtual", "off"),
    [
        (("left_collar", "right_collar"), {"left_collar", "right_collar"}, 0.15),
        (("neck",), {"neck"}, 0.1),
        (("head",), {"head"}, 0.05),
        (("left_foot",), {"left_foot"}, 0.1),
        (("left_foot", "right_foot"), {"left_foot", "right_foot"}, 0.1),
    ],
)
def test_what_a_skeleton_lacks_is_placed_near_where_it_is(missing, virtual, off):
    made = smpl22(smpl_motion(), without(*missing))
    assert set(made.virtual) == virtual
    away = np.linalg.norm(made.joints[:, 0] - JOINTS, axis=-1)
    known = [AT[name] for name in SMPL.joint_names if name not in virtual]
    assert not away[:, known].any()
    assert 0 < away[:, [AT[name] for name in virtual]].max() < off


@pytest.mark.parametrize(
    ("count", "with_chest", "expected"),
    [
        # Joints between pelvis and neck are at 1/8, 2/8, ... of the way, or evenly spaced up to the
        # chest at 0.6 of it. Expected of spine1, spine2 and spine3 are their heights over this
        # spacing; whole: a joint's own.
        (0, False, (8 * 13 / 54, 8 * 27 / 54, 8 * 33 / 54)),
        (1, False, (8 * 13 / 54, 8 * 27 / 54, 8 * 33 / 54)),
        (3, False, (1, 2, 3)),
        (5, False, (1, 3, 5)),
        (1, True, (13 / 33, 27 / 33, 1)),
        (2, True, (1, 1.5, 2)),
        (3, True, (1, 2, 3)),
        (4, True, (1, 2.5, 4)),
    ],
)
def test_any_spine_becomes_smpls(count, with_chest, expected):
    spine = [f"s{i}" for i in range(1, count + 1)]
    arms = spine[-1] if with_chest else "neck"
    limbs = {
        f"{side}_{limb}": [f"{side}_{role}" for role in roles.split()]
        for side in ("left", "right")
        for limb, roles in (("leg", "hip knee ankle"), ("arm", "shoulder elbow wrist"))
    }
    chains = {
        part: [arms if part.endswith("arm") else "pelvis", *limb] for part, limb in limbs.items()
    }
    chains["torso"] = ["pelvis", *spine, "neck", "head"]
    names, parents = [], []
    for chain in (chains["torso"], *(chains[part] for part in limbs)):
        for before, name in zip([None, *chain], chain):
            if name not in names:
                names.append(name)
                parents.append(names.index(before) if before else -1)
    roles = {name: name for chain in limbs.values() for name in chain}
    roles |= {name: name for name in ("pelvis", "neck", "head")}
    roles |= {spine[-1]: "chest"} if with_chest else {}
    spacing = 0.6 / count if with_chest else 1 / 8
    heights = {"hip": -0.1, "knee": -0.6, "ankle": -1.1, "shoulder": 0.8, "elbow": 0.4, "wrist": 0}
    place = {
        f"{side}_{role}": (x, height, 0)
        for side, x in (("left", 0.2), ("right", -0.2))
        for role, height in heights.items()
    }
    place |= {name: (0, i * spacing, 0) for i, name in enumerate(spine, start=1)}
    place |= {"pelvis": (0, 0, 0), "neck": (0, 1, 0), "head": (0, 1.2, 0)}
    joints = np.array([[place[name] for name in names]] * 3)
    made = smpl22(motion(joints, names), made_by_hand(names, parents, chains, roles))
    found = made.joints[:, 0, [AT["spine1"], AT["spine2"], AT["spine3"]], 1] / spacing
    np.testing.assert_allclose(found, [expected] * 3, rtol=1e-6)
    given = {name for name, height in zip(("spine1", "spine2", "spine3"), expected)
             if isinstance(height, int)}  # fmt: skip
    assert set(made.virtual) == {"spine1", "spine2", "spine3"} - given | {
        f"{side}_{name}" for side in ("left", "right") for name in ("collar", "foot")
    }


def test_kinects_joints_give_a_plausible_body():
    kinect = SKELETONS["kinect20"]
    joints = moving(skeleton="kinect20")
    made = smpl22(motion(joints, kinect.joint_names, kinect.parents), body_of("kinect20"))
    assert set(made.virtual) == {"spine1", "spine2", "spine3", "left_collar", "right_collar"}
    wrist = kinect.joint_names.index("left_wrist")
    np.testing.assert_array_equal(made.joints[:, 0, AT["left_wrist"]], joints[:, wrist])


def with_roles(body, **roles):
    """The body where points have other roles, by their names."""
    points = tuple(p._replace(role=roles.get(p.name, p.role)) for p in body.points)
    return dataclasses.replace(body, points=points)


def test_a_joint_between_the_shoulders_is_the_neck_where_there_is_no_other():
    """The first Kinect has a joint in which arms, head and spine meet."""
    kinect = SKELETONS["kinect20"]
    joints = moving(skeleton="kinect20")
    arms = [i for i, name in enumerate(kinect.joint_names)
            if name.endswith(("shoulder", "elbow", "wrist", "hand"))]  # fmt: skip
    joints[:, arms, 1] -= 0.1
    given = motion(joints, kinect.joint_names, kinect.parents)
    as_neck = body_of("kinect20")
    as_chest = with_roles(as_neck, shoulder_center="chest")
    made, expected = smpl22(given, as_chest), smpl22(given, as_neck)
    np.testing.assert_array_equal(made.joints, expected.joints)
    assert made.virtual == expected.virtual and "neck" not in made.virtual
    # SMPL's chest is below the shoulders, and stays the chest.
    made = smpl22(smpl_motion(), without("neck"))
    assert made.virtual == ("neck",)


def test_a_root_in_the_middle_of_the_trunk_is_no_pelvis():
    """OpenNI's."""
    sbu = SKELETONS["sbu15"]
    joints = moving(skeleton="sbu15")
    hips = joints[:, [sbu.joint_names.index(f"{side}_hip") for side in ("left", "right")]].mean(1)
    joints[:, 0] = hips + np.float32([0, 0.25, 0])
    arms = [i for i, name in enumerate(sbu.joint_names)
            if name.endswith(("shoulder", "elbow", "left_hand", "right_hand"))]  # fmt: skip
    joints[:, arms, 1] -= 0.1
    given = motion(joints, sbu.joint_names, sbu.parents)
    body = with_roles(body_of("sbu15"), left_foot="left_ankle", right_foot="right_ankle",
                      left_hand="left_wrist", right_hand="right_wrist", neck="chest")  # fmt: skip
    made = smpl22(given, body)
    assert {"pelvis", "spine1", "spine2", "spine3"} <= set(made.virtual)
    assert "neck" not in made.virtual
    above = made.joints[:, 0, 0] - hips
    assert (np.abs(above[:, 1] - 0.09) < 0.02).all() and np.abs(above[:, [0, 2]]).max() < 1e-6


def test_a_chest_just_above_the_pelvis_is_a_joint_of_the_spine():
    """Biovision's. SMPL's joints of the spine are spread over the whole of it."""
    joints = JOINTS.copy()
    low = 0.75 * joints[:, 0] + 0.25 * joints[:, AT["neck"]]
    joints[:, AT["spine3"]] = low
    body = body_of("smpl22")
    torso = tuple(
        i for i in body.chains["torso"] if body.points[i].name not in ("spine1", "spine2")
    )
    body = dataclasses.replace(body, chains={**body.chains, "torso": torso})
    made = smpl22(smpl_motion(joints), body)
    assert set(made.virtual) == {"spine1", "spine2", "spine3"}
    trunk = np.linalg.norm(joints[:, AT["neck"]] - joints[:, 0], axis=-1)
    for name, share in (("spine1", 13 / 54), ("spine2", 27 / 54), ("spine3", 33 / 54)):
        way = np.linalg.norm(made.joints[:, 0, AT[name]] - joints[:, 0], axis=-1)
        np.testing.assert_allclose(way, share * trunk, rtol=1e-3)


@pytest.mark.parametrize("part", ["toes", "foot and hand"])
def test_ends_of_limbs_stand_for_joints_before_them(part):
    """Toes for the ball of the foot; the foot for an ankle and the hand for a wrist."""
    old, new = (
        ({"foot": "toe"}, {"foot"})
        if part == "toes"
        else ({"ankle": None, "wrist": "hand"}, {"ankle", "wrist"})
    )
    body = body_of("smpl22")
    renamed = []
    for point in body.points:
        side, _, role = (point.role or "").partition("_")
        if role in old:
            point = point._replace(role=old[role] and f"{side}_{old[role]}")
        renamed.append(point)
    made = smpl22(smpl_motion(), dataclasses.replace(body, points=tuple(renamed)))
    sided = {f"{side}_{role}" for side in ("left", "right") for role in new}
    assert set(made.virtual) == sided
    away = np.linalg.norm(made.joints[:, 0] - JOINTS, axis=-1)
    assert 0 < away[:, [AT[name] for name in sided]].max() < 0.15


def test_feet_point_forwards_of_the_body_wherever_it_faces():
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    made, turned = (
        smpl22(smpl_motion(joints), without("left_foot", "right_foot")).joints
        for joints in (JOINTS, JOINTS @ turn)
    )
    np.testing.assert_allclose(made @ turn, turned, atol=1e-6)
    foot = made[0, 0, AT["left_foot"]] - made[0, 0, AT["left_ankle"]]
    assert foot[2] > 0.08 and foot[1] < 0


@pytest.mark.parametrize("role", ["left_hip", "right_knee", "right_ankle", "left_wrist"])
def test_what_cannot_be_made_is_named(role):
    body = body_of("smpl22")
    points = tuple(
        point._replace(role=None)
        if point.role == role or point.role == role.replace("ankle", "foot")
        else point
        for point in body.points
    )
    what = role.replace("_", " ")
    with pytest.raises(ValueError, match=rf'^take: .* need a {what}.*"roles": \{{"{role}": "NAME"'):
        smpl22(smpl_motion(), dataclasses.replace(body, points=points))


def test_images_have_no_depth():
    coco = SKELETONS["coco18"]
    given = motion(np.ones((3, 18, 3)), coco.joint_names, coco.parents, dims=2)
    with pytest.raises(ValueError, match=r"^take: .*an image, without depth"):
        smpl22(given, body_of("coco18", None, None))


def test_absent_persons_are_zeros():
    joints = np.stack([JOINTS, JOINTS], axis=1).astype(np.float64)
    joints[:10, 1] = np.nan
    made = smpl22(smpl_motion(joints), without("left_foot", "left_collar"))
    assert not made.joints[:10, 1].any()
    np.testing.assert_array_equal(made.joints[10:, 0], made.joints[10:, 1])
    assert made.points.present.sum() == 40

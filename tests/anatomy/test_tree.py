"""Bodies whose joints have no names that say anything, by the tree and the pose."""

import dataclasses

import numpy as np
import pytest
from rigs import NAMINGS, joints_of, motion_of

from motionalign import formats
from motionalign.anatomy import Body, understand
from motionalign.formats.motion import Motion

LETTERS = "abcdefghijkmnopqstuvwxyz"


def scrambled(motion: Motion, seed: int) -> tuple[Motion, dict[str, str]]:
    """The motion with random names and siblings in random order; and {new name: old name}."""
    rng = np.random.default_rng(seed)
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(motion.parents):
        children.setdefault(parent, []).append(joint)
    order, stack = [], [children[-1][0]]
    while stack:
        joint = stack.pop()
        order.append(joint)
        below = children.get(joint, [])
        stack += [below[i] for i in rng.permutation(len(below))]
    new = {old: i for i, old in enumerate(order)}
    names = tuple("".join(rng.choice(list(LETTERS), 8)) for _ in order)
    moved = dataclasses.replace(
        motion,
        joint_names=names,
        parents=tuple(new.get(motion.parents[old], -1) for old in order),
        positions=motion.positions[:, :, order],
        rest=None if motion.rest is None else motion.rest[order],
        ends=tuple(sorted(new[end] for end in motion.ends)),
    )
    return moved, {name: motion.joint_names[old] for name, old in zip(names, order, strict=True)}


def chains(body: Body, names: dict[str, str] | None = None) -> dict[str, list[str]]:
    return {
        part: [(names or {}).get(body.points[i].name, body.points[i].name) for i in chain]
        for part, chain in body.chains.items()
    }


def roles(body: Body, names: dict[str, str] | None = None) -> dict[str, str]:
    return {
        role: (names or {}).get(body.points[i].name, body.points[i].name)
        for role, i in body.roles.items()
    }


REAL = (
    "bandai1_bow_active_001", "bvhio_example_classic", "cmu_cgspeed_12_01_walk", "geno_stance",
    "h36m_0626_take_01", "mixamorig_freebvh", "mocapbank", "mocapnet_doubleclap", "momask_output",
    "motionbuilder_AV_8Walk_Meredith", "pybvh_test3", "secondlife_avatar_walk",
    "threejs_pirouette", "two_person_salsa_10_A", "xsens_mvn_blender_test_mocap",
    "xsens_mvn_just_hierarchy", "gltf_fbx/walking.glb",
)  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_without_names_has_the_same_chains_and_roles(name, real_files):
    motion = formats.read(real_files / (name if "." in name else f"bvh/{name}.bvh"))[0]
    by_names = understand(motion)

    for seed in range(3):
        moved, names = scrambled(motion, seed)
        by_tree = understand(moved)

        assert (by_tree.kind, by_tree.convention) == ("human", "by the tree"), by_tree.why
        assert chains(by_tree, names) == chains(by_names)
        assert roles(by_tree, names) == roles(by_names)


@pytest.mark.parametrize("program", ["unreal", "smpl", "biped", "bandai", "poser"])
def test_a_rig_without_names_has_the_same_chains(program):
    motion = motion_of(joints_of(NAMINGS[program]))

    moved, names = scrambled(motion, 0)

    assert chains(understand(moved), names) == chains(understand(motion))


def bare(knees: float = 0.0) -> list:
    """A body without toes, whose knees are so far before the hips."""
    rows = [
        (name, parent, place)
        for name, parent, place in joints_of(NAMINGS["unreal"])
        if not name.startswith("ball")
    ]
    return [
        (name, parent, (x, y, knees if name.startswith("calf") else 0.0))
        for name, parent, (x, y, z) in rows
    ]


def test_without_toes_the_knees_tell_left_from_right():
    for seed in range(4):
        moved, names = scrambled(motion_of(bare(knees=6.0)), seed)

        body = understand(moved)

        assert chains(body, names)["left_leg"] == ["pelvis", "thigh_l", "calf_l", "foot_l"]
        assert any("where the knees bend to" in note for note in body.notes)


def test_straight_legs_without_toes_tell_nothing_and_the_notes_say_so():
    moved, names = scrambled(motion_of(bare()), 1)

    body = understand(moved)

    assert body.kind == "human"
    assert any("cannot be told" in note for note in body.notes)
    found = chains(body, names)
    side = found["left_leg"][1][-2:]
    assert found["left_arm"][-1] == f"hand{side}"  # arms are on the side of the legs, at least


@pytest.mark.parametrize("knees", [6.0, -6.0, 0.0])
def test_sides_that_names_give_go_before_the_pose(knees):
    """As where noise or a bad converter has bent the knees, and names say no more than the side."""
    number = {name: i for i, (name, *_) in enumerate(bare())}

    def sided(name):
        side = {"_l": "Left", "_r": "Right"}.get(name[-2:], "Mid")
        return f"{side} q{number[name]}"

    rows = [(sided(name), parent and sided(parent), place) for name, parent, place in bare(knees)]
    body = understand(motion_of(rows))

    assert body.convention == "by the tree"
    sides = {part: {name.split()[0] for name in chain} for part, chain in chains(body).items()}
    assert sides["left_leg"] == sides["left_arm"] == {"Mid", "Left"}
    assert sides["right_leg"] == sides["right_arm"] == {"Mid", "Right"}
    assert not any("knees" in note for note in body.notes)


def test_a_trunk_on_short_legs_is_no_human():
    """As toys and cartoon animals have them, whose limbs are two pairs all the same."""

    def place(name, x, y, z):
        arm = name.startswith(("lowerarm", "hand"))
        x = np.sign(x) * (18 + 0.3 * (abs(x) - 18)) if arm else x
        return x, 93 + 0.2 * (y - 93) if y < 93 else y, z

    rows = [(name, parent, place(name, *at)) for name, parent, at in bare(knees=3.0)]
    body = understand(scrambled(motion_of(rows), 0)[0])
    assert body.kind == "unknown", body
    assert "times as long as its trunk" in body.why


def test_joints_called_after_an_animal_are_of_one():
    rows = [(f"horse{i}", None, place) for i, (_, _, place) in enumerate(bare(knees=6.0))]
    at = {name: i for i, (name, *_) in enumerate(bare())}
    rows = [
        (name, None if parent is None else f"horse{at[parent]}", place)
        for (name, _, place), (_, parent, _) in zip(rows, bare())
    ]
    body = understand(motion_of(rows))
    assert (body.kind, body.why) == ("animal", "its joints are called horse")


def test_collar_bones_that_start_at_the_neck_are_no_arms():
    """As in CMU's ASF files: both start at one place, and are nearly as long as the forearms."""
    rows = []
    for name, parent, (x, y, z) in joints_of(NAMINGS["acclaim"]):
        if "clavicle" in name:
            place = (0, 148, 0)
        elif "wrist" in name:
            place = (0.83 * x, y, z)
        else:
            place = (1.15 * x, y, z) if "humerus" in name else (x, y, z)
        rows.append((name, parent, place))
    moved, names = scrambled(motion_of(rows), 0)

    assert chains(understand(moved), names)["left_arm"] == [
        "thorax", "lclavicle", "lhumerus", "lradius", "lwrist",
    ]  # fmt: skip


def test_names_in_another_language():
    words = {
        "pelvis": "bassin", "spine_01": "dos1", "spine_02": "dos2", "spine_03": "dos3",
        "neck_01": "cou", "head": "tete", "clavicle": "clavicule", "upperarm": "bras",
        "lowerarm": "avantbras", "hand": "main", "thigh": "cuisse", "calf": "mollet",
        "foot": "pied", "ball": "orteil", "root": "racine",
    }  # fmt: skip

    def french(name):
        stem, _, side = name.rpartition("_")
        return words.get(name) or f"{words[stem]}_{side.replace('l', 'g').replace('r', 'd')}"

    rows = [
        (french(name), parent and french(parent), place)
        for name, parent, place in joints_of(NAMINGS["unreal"])
    ]
    body = understand(motion_of(rows))

    assert body.convention == "by the tree"
    assert chains(body)["left_arm"] == ["dos3", "clavicule_g", "bras_g", "avantbras_g", "main_g"]


def test_a_spider_is_no_human():
    rows = [("body", None, (0, 30, 0)), ("back", "body", (0, 30, -20)), ("eye", "body", (0, 32, 9))]
    for i in range(4):
        for sign in (-1, 1):
            start = "body" if i < 2 else "back"
            z = 5 - 8 * i
            rows += [
                (f"a{i}{sign}", start, (sign * 5, 30, z)),
                (f"b{i}{sign}", f"a{i}{sign}", (sign * 25, 45, z)),
                (f"c{i}{sign}", f"b{i}{sign}", (sign * 45, 0, z)),
            ]
    body = understand(motion_of(rows))

    assert body.kind != "human", body


def test_bones_in_two_pieces_are_whole_where_their_inner_joint_never_bends():
    """As rigs have them whose upper and lower half twist against each other."""
    rows = joints_of(NAMINGS["rigify"])
    straight = {name: np.array(place, float) for name, _, place in rows}
    bent = {
        name: np.add(place, (0, -15 * ("forearm" in name), 18 * ("shin" in name)))
        for name, place in straight.items()
    }
    parents = {name: parent for name, parent, _ in rows}
    names = [name for name, *_ in rows]
    for side in "LR":
        for bone, end in (("thigh", "shin"), ("shin", "foot"), ("upper_arm", "forearm"),
                          ("forearm", "hand")):  # fmt: skip
            start, end = f"DEF-{bone}.{side}", f"DEF-{end}.{side}"
            middle = f"{start}.001"
            for pose in (straight, bent):
                pose[middle] = (pose[start] + pose[end]) / 2
            parents[middle], parents[end] = start, middle
            names.insert(names.index(end), middle)
    motion = motion_of([(name, parents[name], straight[name]) for name in names], frames=6)
    positions = motion.positions.copy()
    positions[3:, 0] = [bent[name] for name in names]
    moved, back = scrambled(dataclasses.replace(motion, positions=positions), 0)

    found = chains(understand(moved), back)

    for part, row in (
        ("left_leg", ["DEF-thigh.L", "DEF-shin.L", "DEF-foot.L", "DEF-toe.L"]),
        ("left_arm", ["DEF-shoulder.L", "DEF-upper_arm.L", "DEF-forearm.L", "DEF-hand.L"]),
    ):
        assert found[part][1:] == row

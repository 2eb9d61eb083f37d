"""FBX: skeletons, takes and transforms, as Autodesk defines them."""

import struct
import zlib

import fbx_files
import numpy as np
import pytest
from fbx_files import Scene, record, walker

from motionalign import formats
from motionalign.formats import fbx


def read(scene, folder, **options):
    """Reads a file in this process; some tests do so in the other."""
    return fbx.parse(scene.write(folder / "walk.fbx", **options))


WALK = [[[0, 100, 10 * i], [0, 150, 10 * i], [20, 150, 10 * i]] for i in range(5)]


# ---------------------------------------------------------------------------- what is read


def test_a_walk_by_the_other_process(tmp_path):
    [motion] = formats.read(walker().write(tmp_path / "walk.fbx"))
    assert (motion.name, motion.format) == ("Walk", "FBX")
    assert motion.joint_names == ("Hips", "Head", "Hand")
    assert motion.parents == (-1, 0, 1)
    assert (motion.fps, motion.unit_in_metres, motion.up) == (30.0, 0.01, "y")
    assert (motion.persons, motion.notes) == (("",), ())
    np.testing.assert_allclose(motion.positions[:, 0], WALK, atol=1e-4)
    np.testing.assert_allclose(motion.rest, WALK[0], atol=1e-4)


@pytest.mark.parametrize("version", [7100, 7400, 7500, 7700])
@pytest.mark.parametrize("packed", [True, False])
def test_versions_and_arrays(tmp_path, version, packed):
    [motion] = read(walker(), tmp_path, version=version, packed=packed)
    np.testing.assert_allclose(motion.positions[:, 0], WALK, atol=1e-4)


@pytest.mark.parametrize(("definition", "ticks"), [(127, 46186158000), (0, 141120000)])
def test_key_times_of_newer_versions(tmp_path, monkeypatch, definition, ticks):
    monkeypatch.setattr(fbx_files, "TICKS", ticks)
    scene = walker()
    scene.header = [record("OtherFlags", inner=[record("TCDefinition", definition)])]
    [motion] = read(scene, tmp_path, version=7700)
    assert (len(motion.positions), motion.fps) == (5, 30)


@pytest.mark.parametrize(
    ("settings", "unit", "up"),
    [
        ({}, 0.01, "y"),
        ({"UnitScaleFactor": 100.0}, 1.0, "y"),
        ({"UnitScaleFactor": 2.54}, 0.0254, "y"),
        ({"UnitScaleFactor": 0.0}, 0.01, "y"),
        ({"UpAxis": 2, "FrontAxis": 1, "FrontAxisSign": -1}, 0.01, "z"),
        ({"UpAxis": 2, "UpAxisSign": -1, "FrontAxis": 1, "CoordAxisSign": 1}, 0.01, "-z"),
        ({"UpAxis": 9}, 0.01, "y"),
    ],
)
def test_unit_and_axis(tmp_path, settings, unit, up):
    [motion] = read(walker(**settings), tmp_path)
    assert (motion.unit_in_metres, motion.up) == (pytest.approx(unit), up)
    np.testing.assert_allclose(motion.positions[:, 0], WALK, atol=1e-4)  # as the file has them
    assert motion.notes == ()


def test_left_handed_axes_are_mirrored(tmp_path):
    [motion] = read(walker(FrontAxisSign=-1), tmp_path)
    np.testing.assert_allclose(motion.positions[:, 0], np.asarray(WALK) * [-1, 1, 1], atol=1e-4)
    np.testing.assert_allclose(motion.rest[2], [-20, 150, 0], atol=1e-4)
    assert "left-handed" in motion.notes[0]


@pytest.mark.parametrize(
    ("mode", "custom", "rate", "expected"),
    [
        (6, -1.0, 30, 30), (11, -1.0, 24, 24), (3, -1.0, 60, 60), (9, -1.0, 29.97, 30 / 1.001),
        (6, -1.0, 120, 120),  # keys are denser than the settings say
        (1, -1.0, 30, 120),  # and sparser: they are sampled
        (14, 90.0, 90, 90), (14, -1.0, 25, 25), (0, -1.0, 50, 50), (77, 1.0, 50, 50),
    ],
)  # fmt: skip
def test_rates(tmp_path, mode, custom, rate, expected):
    [motion] = read(walker(20, rate, TimeMode=mode, CustomFrameRate=custom), tmp_path)
    assert motion.fps == pytest.approx(expected)
    assert len(motion.positions) == round(19 * expected / rate) + 1


def test_every_stack_is_a_take(tmp_path):
    scene = walker()
    layer = scene.stack("Nod")
    times = np.arange(31) / 30
    scene.animate(layer, 1002, "Lcl Rotation", times, {"X": np.linspace(0, 90, 31)})
    walk, nod = read(scene, tmp_path)
    assert (walk.name, nod.name) == ("Walk", "Nod")
    assert len(nod.positions) == 31
    np.testing.assert_allclose(nod.positions[:, 0, 0], [[0, 100, 0]] * 31, atol=1e-4)
    np.testing.assert_allclose(nod.positions[-1, 0, 2], [20, 150, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("start", "stop", "frames"),
    [(0, 4, 5), (1, 3, 3), (-10, 2, 3), (0, 1000, 5), (50, 60, 5), (4, 2, 5)],
)
def test_a_take_ends_where_the_stack_or_its_keys_end(tmp_path, start, stop, frames):
    scene = walker()
    span = {"LocalStart": start * fbx_files.TICKS // 30, "LocalStop": stop * fbx_files.TICKS // 30}
    stack = next(each for each in scene.objects if each.name == "AnimationStack")
    stack.inner = [fbx_files.properties(span)]
    [motion] = read(scene, tmp_path)
    assert len(motion.positions) == frames


def test_further_layers_are_counted(tmp_path):
    scene = walker()
    stack = next(each for each in scene.objects if each.name == "AnimationStack")
    layer = scene.layer(stack.values[0])
    scene.animate(layer, 1001, "Lcl Translation", [0, 1], {"X": [500, 500]})
    scene.animate(layer, 1002, "Lcl Scaling", [0, 0.1], {"X": [1, 1]})
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.positions[:, 0, 0, 0], 0, atol=1e-4)
    assert motion.notes[-1].startswith("1 channels of further animation layers are left out")


def test_no_animation_is_one_frame_of_the_rest_pose(tmp_path):
    scene = walker()
    scene.objects = [each for each in scene.objects if each.name == "Model"]
    [motion] = read(scene, tmp_path)
    assert (motion.name, motion.fps) == ("walk", None)
    np.testing.assert_allclose(motion.positions[:, 0], [motion.rest])
    np.testing.assert_allclose(motion.rest, WALK[0], atol=1e-4)
    assert motion.notes == ("No animation moves the skeleton: this is its rest pose.",)


def test_control_rigs_are_no_joints(tmp_path):
    scene = walker()
    scene.model("Ctrl_Hips", kind="FKEffector")
    scene.model("Ctrl_Reference", kind="Null")
    scene.model("Camera", kind="Camera")
    [motion] = read(scene, tmp_path)
    assert motion.joint_names == ("Hips", "Head", "Hand")


def test_what_a_node_looks_at_is_not_above_it(tmp_path):
    scene = walker()
    goal = scene.model("Goal")
    scene.connections.insert(0, record("C", "OP", 1002, goal, "LookAtProperty"))
    walk, other = read(scene, tmp_path)
    assert (walk.joint_names, walk.parents) == (("Hips", "Head", "Hand"), (-1, 0, 1))
    assert other.joint_names == ("Goal",)


def test_a_skeleton_of_nulls(tmp_path):
    scene = walker()
    for each in scene.objects:
        if each.name == "Model":
            each.values = (*each.values[:2], "Null")
    [motion] = read(scene, tmp_path)
    assert motion.joint_names == ("Hips", "Head", "Hand")
    assert "no limb nodes: its 3 animated nodes are taken as joints" in motion.notes[0]


def test_two_persons(tmp_path):
    scene = Scene()
    layer = scene.stack("Dance")
    for who, x in (("Anna", 0.0), ("Ben", 100.0)):
        root = scene.model(f"{who}_Reference", kind="Null", Lcl_Translation=(x, 0.0, 0.0))
        hips = scene.model(f"{who}:Hips", root)
        scene.model(f"{who}:Head", hips, Lcl_Translation=(0.0, 50.0, 0.0))
        scene.animate(layer, hips, "Lcl Translation", [0, 1 / 30, 2 / 30], {"Y": [100, 101, 102]})
    [motion] = read(scene, tmp_path)
    assert motion.persons == ("Anna_Reference", "Ben_Reference")
    assert motion.joint_names == ("Anna:Hips", "Anna:Head")
    np.testing.assert_allclose(motion.positions[2, :, 1], [[0, 152, 0], [100, 152, 0]], atol=1e-4)


def test_persons_below_one_node(tmp_path):
    scene = Scene()
    world = scene.model("World", kind="Null")
    for who in ("Anna", "Ben"):
        scene.model(f"{who}:Head", scene.model(f"{who}:Hips", world))
    [motion] = read(scene, tmp_path)
    assert motion.persons == ("Anna:Hips", "Ben:Hips")


def test_two_roots_of_one_armature(tmp_path):
    scene = walker()
    scene.model("Goal", 1000)
    [motion] = read(scene, tmp_path)
    assert motion.joint_names == ("Armature", "Hips", "Head", "Hand", "Goal")


# ---------------------------------------------------------------------------- the bind pose


def at(*position):
    matrix = np.eye(4)
    matrix[:3, 3] = position
    return matrix


def test_the_bind_pose_is_the_rest_pose(tmp_path):
    scene = walker()
    scene.bind({1001: at(0, 90, 0), 1002: at(0, 140, 0), 1003: at(0, 140, 20)})
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.rest, [[0, 90, 0], [0, 140, 0], [0, 140, 20]])


def test_a_bind_pose_of_some_joints(tmp_path):
    scene = walker()
    scene.bind({1001: at(0, 90, 0)})
    turned = np.eye(4)
    turned[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    turned[:3, 3] = [0, 90, 0]
    scene.objects[-1].inner[0].inner[1] = record("Matrix", turned.T.ravel().astype("<f8"))
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.rest, [[0, 90, 0], [0, 140, 0], [20, 140, 0]], atol=1e-4)


def test_clusters_where_there_is_no_bind_pose(tmp_path):
    scene = walker()
    for number, place in ((1001, at(0, 90, 0)), (1002, at(0, 140, 0)), (1003, at(0, 140, 20))):
        link = record("TransformLink", place.T.ravel().astype("<f8"))
        scene.connect(number, scene.add("Deformer", "", "Cluster", inner=[link]))
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.rest, [[0, 90, 0], [0, 140, 0], [0, 140, 20]])


def test_a_bind_pose_of_another_size_is_not_taken(tmp_path):
    scene = walker()
    scene.bind({1001: at(0, 9, 0), 1002: at(0, 14, 0), 1003: at(0, 14, 2)})
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.rest, WALK[0], atol=1e-4)


# ---------------------------------------------------------------------------- transforms


def turn(axis, degrees):
    """A rotation about an axis, written out for this test."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows = {
        "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    out = np.eye(4)
    out[:3, :3] = rows[axis]
    return out


def turns(degrees, order="XYZ"):
    """The first axis of the order turns first."""
    out = np.eye(4)
    for axis in order:
        out = turn(axis, degrees["XYZ".index(axis)]) @ out
    return out


def hand(tmp_path, **values):
    """Where the end of an arm is whose node has these properties."""
    scene = Scene()
    arm = scene.model("Arm", **values)
    scene.model("Hand", arm, Lcl_Translation=(1.0, 2.0, 3.0))
    return read(scene, tmp_path)[0].positions[0, 0, 1]


@pytest.mark.parametrize(
    ("number", "order"), enumerate(["XYZ", "XZY", "YZX", "YXZ", "ZXY", "ZYX", "XYZ"])
)
def test_rotation_orders(tmp_path, number, order):
    angles = (20.0, 50.0, 70.0)
    found = hand(tmp_path, Lcl_Rotation=angles, RotationOrder=number, RotationActive=True)
    np.testing.assert_allclose(found, (turns(angles, order) @ [1, 2, 3, 1])[:3])


def test_all_parts_of_a_transform(tmp_path):
    parts = {
        "Lcl_Translation": (5.0, 6.0, 7.0), "RotationOffset": (0.1, 0.2, 0.3),
        "RotationPivot": (1.0, -2.0, 0.5), "PreRotation": (30.0, 40.0, 50.0),
        "Lcl_Rotation": (20.0, 50.0, 70.0), "PostRotation": (-10.0, 15.0, 25.0),
        "ScalingOffset": (0.3, 0.1, -0.2), "ScalingPivot": (2.0, 1.0, -1.0),
        "Lcl_Scaling": (2.0, 3.0, 0.5),
    }  # fmt: skip
    scale = np.diag([2.0, 3.0, 0.5, 1])
    expected = (
        at(5, 6, 7) @ at(0.1, 0.2, 0.3) @ at(1, -2, 0.5) @ turns((30, 40, 50))
        @ turns((20, 50, 70), "ZXY") @ np.linalg.inv(turns((-10, 15, 25))) @ at(-1, 2, -0.5)
        @ at(0.3, 0.1, -0.2) @ at(2, 1, -1) @ scale @ at(-2, -1, 1) @ [1, 2, 3, 1]
    )  # fmt: skip
    found = hand(tmp_path, **parts, RotationActive=True, RotationOrder=4)
    np.testing.assert_allclose(found, expected[:3])


def test_an_inactive_node_has_neither_order_nor_further_rotations(tmp_path):
    angles = (20.0, 50.0, 70.0)
    further = {"PreRotation": (90.0, 0.0, 0.0), "PostRotation": (0.0, 90.0, 0.0)}
    for off in ({"RotationActive": False}, {"RotationSpaceForLimitOnly": True}):
        found = hand(tmp_path, Lcl_Rotation=angles, RotationOrder=5, **further, **off)
        np.testing.assert_allclose(found, (turns(angles) @ [1, 2, 3, 1])[:3])


def test_properties_that_a_model_does_not_state_are_those_of_the_template(tmp_path):
    scene = Scene()
    scene.template = {"Lcl Rotation": (0.0, 0.0, 90.0)}
    scene.model("Hand", scene.model("Arm"), Lcl_Translation=(1.0, 0.0, 0.0))
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.positions[0, 0, 1], [0, 1, 0], atol=1e-9)


@pytest.mark.parametrize("inherit", [0, 1, 2])
def test_what_a_node_gets_of_the_scales_above_it(tmp_path, inherit):
    """Autodesk's three kinds: RrSs, RSrs, Rrs. Positions of children differ by them."""
    scene = Scene()
    scene.template = {"InheritType": inherit}
    top, own = (2.0, 1.0, 1.0), (1.0, 3.0, 1.0)
    shoulder = scene.model("Shoulder", Lcl_Rotation=(0.0, 0.0, 30.0), Lcl_Scaling=top)
    elbow = scene.model("Elbow", shoulder, Lcl_Rotation=(0.0, 0.0, 60.0), Lcl_Scaling=own)
    scene.model("Hand", elbow, Lcl_Translation=(1.0, 1.0, 0.0))
    [motion] = read(scene, tmp_path)
    above, below = np.diag([*top, 1]), np.diag([*own, 1])
    r, t = turns((0, 0, 30)), turns((0, 0, 60))
    matrix = {0: r @ t @ above @ below, 1: r @ above @ t @ below, 2: r @ t @ below}[inherit]
    np.testing.assert_allclose(motion.positions[0, 0, 2], (matrix @ [1, 1, 0, 1])[:3])


# ---------------------------------------------------------------------------- spoiled files


def spoiled(change):
    scene = walker()
    data = change(scene)
    return data if isinstance(data, bytes) else scene.content()


def find(scene, kind, name=None):
    """An object, or a record in it."""
    found = next(each for each in scene.objects if each.name == kind)
    return found if name is None else next(each for each in found.inner if each.name == name)


def replace(kind, name, array):
    def change(scene):
        find(scene, kind, name).values = (np.asarray(array),)

    return change


def put(at_byte, data):
    def change(scene):
        content = scene.content()
        return content[:at_byte] + data + content[at_byte + len(data) :]

    return change


def circle(scene):
    scene.connections = [each for each in scene.connections if each.values[1:] != (1001, 1000)]
    scene.connect(1001, 1003)


def own_child(scene):
    scene.connections = [each for each in scene.connections if each.values[1:] != (1001, 1000)]
    scene.connect(1001, 1001)


def bad_array(count, encoding, data):
    """A record whose array promises what it does not hold; its end is set as it is written."""

    def change(scene):
        content = scene.content(packed=False)
        start = content.index(b"KeyValueFloat") + len(b"KeyValueFloat")
        head = struct.pack("<3I", count, encoding, 20)
        return content[: start + 1] + head + data.ljust(20, b"\0") + content[start + 33 :]

    return change


def nested(scene):
    """Records within records, 10,000 times."""
    names = [b"Connections", *[b"A"] * 10000]
    end = 27 + sum(13 + len(name) for name in names)
    heads = [struct.pack("<3IB", end, 0, 0, len(name)) + name for name in names]
    return fbx_files.MAGIC + struct.pack("<I", 7400) + b"".join(heads) + bytes(13)


def deep_objects(scene):
    inner = record("Deep")
    for _ in range(100):
        inner = record("Deep", inner=[inner])
    scene.objects.append(record("Model", 5, "n", "LimbNode", inner=[inner]))


def huge(scene):
    values = {"Lcl Scaling": (1e308,) * 3, "Lcl Translation": (1e308,) * 3}
    scene.objects[0].inner = [fbx_files.properties(values)]


def no_models(scene):
    scene.objects = []


TEXT = b"; FBX 7.3.0 project file\n; Copyright (C) Autodesk\n\nFBXHeaderExtension:  {\n"

SPOILED = {
    "another file": (lambda _: b"HIERARCHY\nROOT Hips\n", "it starts with b'HIERARCHY\\nRO'"),
    "text": (lambda _: TEXT, "is FBX as text (ASCII), which is not read. Export it as GLB, BVH or"),
    "version 6.1": (put(23, struct.pack("<I", 6100)), "is FBX of version 6.1; versions 7 to 8 are"),
    "version 9.9": (put(23, struct.pack("<I", 9900)), "is FBX of version 9.9"),
    "only the magic": (lambda s: s.content()[:23], "is not a complete FBX file: it has 23 bytes"),
    "only the header": (lambda s: s.content()[:27], "at byte 27 lies beyond the end, byte 27"),
    "cut in a record": (lambda s: s.content()[:35], "a record at byte 27 lies beyond the end"),
    "half": (lambda s: s.content()[: len(s.content()) // 2], "promises to end at byte"),
    "a tenth": (lambda s: s.content()[: len(s.content()) // 10], "promises to end at byte"),
    "an end beyond the file": (put(27, b"\xff\xff\xff\x7f"), "to end at byte 2,147,483,647"),
    "an end before its start": (put(27, b"\1\0\0\0"), "promises to end at byte 1 with"),
    "values beyond the end": (put(35, b"\xff\xff\xff\x7f"), "with 2,147,483,647 bytes of values"),
    "too many values": (put(31, b"\xff\xff\xff\x7f"), "2147483647 values should end at byte"),
    "nested": (nested, "lies within 65 others"),
    "nested in an object": (deep_objects, "lies within 65 others"),
    "an unknown value": (
        lambda s: s.content().replace(b"KeyTimel", b"KeyTimeQ"), "has the unknown type 81",
    ),
    "10^9 keys": (bad_array(10**9, 0, b""), "values should end at byte"),
    "10^9 packed keys": (bad_array(10**9, 1, b"x" * 20), "promises 4,000,000,000 bytes out of 20"),
    "keys that are not packed": (bad_array(5, 1, b"x" * 20), "is damaged: Error -3"),
    "keys that unpack to more": (
        bad_array(3, 1, zlib.compress(bytes(80))), "has 13 bytes; expected 12",
    ),
    "fewer values than times": (
        replace("AnimationCurve", "KeyValueFloat", np.zeros(3, "<f4")),
        "a curve has 5 key times and 3 values",
    ),
    "NaN": (
        replace("AnimationCurve", "KeyValueFloat", np.full(5, np.nan, "<f4")),
        "a curve of 5 keys has a value that is no finite number",
    ),
    "times that go back": (
        replace("AnimationCurve", "KeyTime", np.asarray([0, 2, 1, 3, 4], "<i8")),
        "the time of key 2 of a curve is before that of the one before",
    ),
    "a key in years": (
        replace("AnimationCurve", "KeyTime", np.asarray([0, 1, 2, 3, 2**62], "<i8")),
        "Walk: its keys span 9.985e+07 s, which is",
    ),
    "a circle": (circle, "the parents form a circle"),
    "a node that is its own parent": (own_child, "the parents form a circle"),
    "no nodes": (no_models, "has no skeleton: neither a limb node nor an animated one among its 0"),
    "numbers that overflow": (huge, "numbers so large that positions are infinite"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_files_say_what_is_wrong(tmp_path, name):
    change, reason = SPOILED[name]
    path = tmp_path / "bad.fbx"
    path.write_bytes(spoiled(change))
    with pytest.raises(ValueError) as error:
        formats.read(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)


# ---------------------------------------------------------------------------- real files

# Frame, bone and position in metres.
BLENDER = [
    (0, "Bone.006_end", [0.07032, -0.09866, 0.00599]),
    (10, "Bone.006_end", [-2.24754, 7.40186, 0.00599]),
    (20, "Bone.006_end", [-2.61816, 7.90888, 0.00599]),
    (10, "Bone.013_end", [36.58204, -0.03688, 6e-05]),
]


def test_maya_with_human_ik(real_files):
    """One frame, whose control rig is left out; values are those of Blender 5.0."""
    path = real_files / "gltf_fbx" / "ufbx_maya_human_ik_7400_binary.fbx"
    [motion] = formats.read(path)
    assert (motion.name, motion.positions.shape) == ("Take 001", (1, 1, 62, 3))
    assert (motion.fps, motion.unit_in_metres, motion.up) == (24.0, 1.0, "y")
    assert motion.joint_names[:3] == (
        "Character1_Hips", "Character1_LeftUpLeg", "Character1_LeftLeg",
    )  # fmt: skip
    assert motion.parents[:6] == (-1, 0, 1, 2, 3, 0)
    assert not any("Ctrl" in name or "Effector" in name for name in motion.joint_names)
    blender = [[0, 0.999999881, 0], [0.0891, 0.93729985, 0], [0.0891, 0.48851347, 0]]
    np.testing.assert_allclose(motion.positions[0, 0, :3], blender, atol=1e-6)
    np.testing.assert_allclose(motion.rest[:3], blender, atol=1e-6)
    assert np.ptp(motion.rest, 0)[:2] == pytest.approx([1.803, 1.631], abs=1e-3)  # a T-pose


def test_blender_by_assimp(real_files):
    """A chain of bones with 21 frames, no human; values are those of Blender 5.0."""
    path = real_files / "gltf_fbx" / "assimp_animation_with_skeleton.fbx"
    [motion] = formats.read(path)
    assert (motion.name, motion.positions.shape) == ("Armature|ArmatureAction", (21, 1, 17, 3))
    assert (motion.fps, motion.unit_in_metres, motion.up) == (24.0, 0.01, "y")
    assert motion.joint_names[:3] == ("Armature", "Bone", "Bone.001")
    assert motion.parents[:4] == (-1, 0, 1, 2)
    at = motion.joint_names.index
    for frame, name, position in BLENDER:
        np.testing.assert_allclose(motion.positions[frame, 0, at(name)] / 100, position, atol=2e-5)

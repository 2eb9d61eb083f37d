"""glTF: skeletons, animations and rest poses, as the specification defines them."""

import gltf_files
import numpy as np
import pytest

from motionalign import formats

IDENTITY = [0, 0, 0, 1]
HALF = float(np.sqrt(0.5))  # a quaternion's sine and cosine of a quarter turn


def read(scene, folder, name="walk.glb"):
    return formats.read(scene.write(folder / name))


def arm(*, hand=(0, 1, 0)):
    """A joint at the origin with one at its end, without skin matrices."""
    scene = gltf_files.Scene()
    scene.node("Hand", translation=list(hand))
    scene.node("Arm", (0,))
    scene.skin([1, 0])
    return scene


# ---------------------------------------------------------------------------- what is read


def test_a_walk(tmp_path):
    [motion] = read(gltf_files.walker(), tmp_path)
    assert (motion.name, motion.format) == ("Walk", "glTF")
    assert motion.joint_names == ("Hips", "Head", "Hand")
    assert motion.parents == (-1, 0, 1)
    assert (motion.fps, motion.unit_in_metres, motion.up) == (30.0, 1.0, "y")
    assert motion.persons == ("",)
    z = 0.1 * np.arange(5)
    expected = [[[0, 1, each], [0, 1.5, each], [0.2, 1.5, each]] for each in z]
    np.testing.assert_allclose(motion.positions[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(motion.rest, expected[0], atol=1e-6)
    assert motion.notes == ("30 frames per second is the rate of its densest keys.",)


def test_a_gltf_file_with_its_data_inside_or_beside_it(tmp_path):
    scene = gltf_files.walker()
    [glb] = read(scene, tmp_path)
    [inside] = read(scene, tmp_path, "inside.gltf")
    path = scene.write(tmp_path / "beside.gltf", uri="wålk data.bin")
    [beside] = formats.read(path)
    path.write_text(path.read_text("utf-8").replace("w\\u00e5lk data", "w%C3%A5lk%20data"), "utf-8")
    [quoted] = formats.read(path)
    for motion in (inside, beside, quoted):
        np.testing.assert_array_equal(motion.positions, glb.positions)


def test_every_animation_is_a_take(tmp_path):
    scene = gltf_files.walker()
    scene.animate(1, "translation", [0, 0.5, 1], [[0, 0, 50]] * 3, name="Stand")
    walk, stand = read(scene, tmp_path)
    assert (walk.name, stand.name) == ("Walk", "Stand")
    assert (len(walk.positions), len(stand.positions)) == (5, 31)
    # A node that an animation does not move is where it is without it.
    np.testing.assert_allclose(stand.positions[:, 0, 0], [[0, 1, 0]] * 31, atol=1e-6)


def test_no_animation_is_one_frame_of_the_rest_pose(tmp_path):
    scene = gltf_files.walker()
    scene.json["animations"] = []
    [motion] = read(scene, tmp_path)
    assert (motion.name, motion.fps) == ("walk", None)
    np.testing.assert_allclose(motion.positions[:, 0], [motion.rest])
    assert motion.notes == ("No animation moves the skeleton: this is its rest pose.",)


def test_nodes_without_a_name(tmp_path):
    scene = gltf_files.walker()
    del scene.json["nodes"][0]["name"]
    scene.json["nodes"][1]["name"] = "Hips"
    [motion] = read(scene, tmp_path)
    assert motion.joint_names == ("Hips", "Hips.2", "node_0")


@pytest.mark.parametrize("by_matrix", [False, True])
def test_a_node_may_have_a_matrix(tmp_path, by_matrix):
    scene = arm(hand=(0, 2, 0))
    if by_matrix:
        turn = np.eye(4)
        turn[:3, :3] = [[0, -3, 0], [3, 0, 0], [0, 0, 3]]
        turn[:3, 3] = [1, 2, 3]
        scene.json["nodes"][1]["matrix"] = turn.T.ravel().tolist()
    else:
        own = {"translation": [1, 2, 3], "rotation": [0, 0, HALF, HALF], "scale": [3, 3, 3]}
        scene.json["nodes"][1] |= own
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.positions[0, 0], [[1, 2, 3], [-5, 2, 3]], atol=1e-6)


def test_linear_rotation_takes_the_shorter_way_at_a_constant_speed(tmp_path):
    scene = arm(hand=(1, 0, 0))
    # From 0 to 120 degrees about z; the second quaternion has the opposite sign.
    end = -np.asarray([0, 0, np.sin(np.pi / 3), np.cos(np.pi / 3)])
    scene.animate(1, "rotation", [0, 0.5, 1.0], [IDENTITY, end, end])
    [motion] = read(scene, tmp_path)
    angle = np.minimum(np.arange(31) / 15, 1) * 2 * np.pi / 3
    expected = np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
    np.testing.assert_allclose(motion.positions[:, 0, 1], expected, atol=1e-6)


def test_step_holds_a_key_until_the_next(tmp_path):
    scene = arm()
    times = np.arange(4) * 0.5
    values = [[i, 0, 0] for i in range(4)]
    scene.animate(1, "translation", times, values, interpolation="STEP")
    [motion] = read(scene, tmp_path)
    assert motion.fps == 30
    x = motion.positions[:, 0, 0, 0]
    np.testing.assert_array_equal(x, [*np.repeat([0, 1, 2], 15), 3])


def test_step_of_every_frame_is_not_late(tmp_path):
    scene = arm()
    times = np.arange(3000) / 30  # as float32 many are after the frame
    values = np.stack([np.arange(3000), 0 * times, 0 * times], -1)
    scene.animate(1, "translation", times, values, interpolation="STEP")
    [motion] = read(scene, tmp_path)
    np.testing.assert_array_equal(motion.positions[:, 0, 0, 0], np.arange(3000))


def test_cubic_splines_have_tangents(tmp_path):
    scene = arm()
    # x = t³ on [0, 2], whose derivative is 3 t².
    times = np.arange(0, 2.01, 0.5)
    keys = [[[3 * t**2, 0, 0], [t**3, 0, 0], [3 * t**2, 0, 0]] for t in times]
    values = np.asarray(keys).reshape(-1, 3)
    scene.animate(1, "translation", times, values, interpolation="CUBICSPLINE")
    [motion] = read(scene, tmp_path)
    t = np.arange(61) / 30
    np.testing.assert_allclose(motion.positions[:, 0, 0, 0], t**3, atol=1e-6)


def test_scale_is_animated_and_inherited(tmp_path):
    scene = arm(hand=(0, 2, 0))
    scene.animate(1, "scale", [0, 1 / 30, 2 / 30], [[1, 1, 1], [2, 3, 4], [1, 1, 1]])
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(
        motion.positions[:, 0, 1], [[0, 2, 0], [0, 6, 0], [0, 2, 0]], atol=1e-6
    )


def test_before_its_first_key_a_channel_has_its_value(tmp_path):
    scene = arm()
    scene.animate(1, "translation", np.arange(10) / 10, [[i, 0, 0] for i in range(10)])
    scene.animate(0, "translation", [0.5, 0.6, 0.7], [[0, 5, 0], [0, 6, 0], [0, 7, 0]])
    [motion] = read(scene, tmp_path)
    y = motion.positions[:, 0, 1, 1]
    assert motion.fps == 30
    np.testing.assert_allclose(y[[0, 15, 18, -1]], [5, 5, 6, 7], atol=1e-6)


# ---------------------------------------------------------------------------- skins


def test_a_bind_pose_in_the_scene_in_the_mesh_or_below_the_armature(tmp_path):
    """Programs differ in where inverse bind matrices come from; the pose is the same."""
    scene = gltf_files.walker()
    scene.json["nodes"][0]["translation"] = [15, 13, 0]  # the hand is lower than in the bind pose
    [expected] = read(scene, tmp_path)
    np.testing.assert_allclose(expected.rest[2], [0.2, 1.5, 0], atol=1e-6)
    bind = np.stack([np.eye(4)] * 3)
    bind[:, :3, 3] = [[0, -1, 0], [0, -1.5, 0], [-0.2, -1.5, 0]]
    scene.json["skins"][0]["inverseBindMatrices"] = scene.accessor(bind)
    [in_scene] = read(scene, tmp_path)
    np.testing.assert_allclose(in_scene.rest, expected.rest, atol=1e-6)
    bind[:, :3, 3] *= 10
    scene.json["skins"][0]["inverseBindMatrices"] = scene.accessor(bind)
    scene.json["nodes"][-1]["scale"] = [0.1] * 3  # the node of the mesh
    [in_mesh] = read(scene, tmp_path)
    np.testing.assert_allclose(in_mesh.rest, expected.rest, atol=1e-6)


def test_a_bind_pose_of_another_size_is_not_taken(tmp_path):
    scene = gltf_files.walker()
    bind = np.stack([np.eye(4)] * 3)
    bind[:, :3, 3] = [[0, -7, 0], [0, -9, 0], [-5, -9, 0]]
    scene.json["skins"][0]["inverseBindMatrices"] = scene.accessor(bind)
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.rest, [[0, 1, 0], [0, 1.5, 0], [0.2, 1.5, 0]], atol=1e-6)


def test_several_skins_of_one_body_are_one_skeleton(tmp_path):
    scene = gltf_files.walker()
    scene.skin([1, 0])  # clothes
    scene.json["skins"][0]["joints"] = [2, 1]
    del scene.json["skins"][0]["inverseBindMatrices"]
    [motion] = read(scene, tmp_path)
    assert motion.joint_names == ("Hips", "Head", "Hand")


def test_a_node_between_joints_is_part_of_the_way_but_no_joint(tmp_path):
    scene = gltf_files.walker()
    scene.json["skins"] = [{"joints": [2, 0]}]
    [motion] = read(scene, tmp_path)
    assert (motion.joint_names, motion.parents) == (("Hips", "Hand"), (-1, 0))
    np.testing.assert_allclose(motion.positions[0, 0, 1], [0.2, 1.5, 0], atol=1e-6)


def test_joints_in_any_order(tmp_path):
    scene = gltf_files.walker()
    scene.json["skins"] = [{"joints": [0, 2, 1]}]
    [motion] = read(scene, tmp_path)
    assert (motion.joint_names, motion.parents) == (("Hips", "Head", "Hand"), (-1, 0, 1))


def test_legs_without_hips_in_the_skin_get_the_node_above_them(tmp_path):
    scene = gltf_files.Scene()
    knees = [scene.node(f"{side}Knee", translation=[0, -1, 0]) for side in ("Left", "Right")]
    hips = [scene.node(f"{side}Hip", (knee,)) for side, knee in zip(("Left", "Right"), knees)]
    scene.node("World", (scene.node("Pelvis", tuple(hips), translation=[0, 2, 0]),))
    scene.skin(knees)
    [motion] = read(scene, tmp_path)
    assert motion.joint_names == ("Pelvis", "LeftHip", "LeftKnee", "RightHip", "RightKnee")
    assert motion.parents == (-1, 0, 1, 0, 3)


def two(names=("Hips", "Head"), other=("Hips", "Head")):
    scene = gltf_files.Scene()
    for who, x, own in (("Anna", 0, names), ("Ben", 5, other)):
        head = scene.node(own[1], translation=[0, 1, 0])
        hips = scene.node(own[0], (head,))
        scene.node(who, (hips,), translation=[x, 0, 0])
        scene.skin([hips, head])
        scene.animate(hips, "translation", [0, 1 / 24, 2 / 24], [[0, i, 0] for i in range(3)])
    return scene


@pytest.mark.parametrize(
    "other", [("Hips", "Head"), ("Hips.001", "Head.001"), ("B:Hips", "B:Head")]
)
def test_skeletons_with_the_same_names_are_persons(tmp_path, other):
    [motion] = read(two(other=other), tmp_path)
    assert (motion.persons, motion.fps) == (("Anna", "Ben"), 24.0)
    assert motion.joint_names == ("Hips", "Head")
    np.testing.assert_allclose(
        motion.positions[1], [[[0, 1, 0], [0, 2, 0]], [[5, 1, 0], [5, 2, 0]]]
    )


def test_skeletons_with_other_names_are_motions_of_their_own(tmp_path):
    anna, dog = read(two(other=("Root", "Tail")), tmp_path)
    assert (anna.joint_names, dog.joint_names) == (("Hips", "Head"), ("Root", "Tail"))


def test_an_animation_of_one_skeleton_is_no_take_of_the_other(tmp_path):
    scene = two(other=("Root", "Tail"))
    scene.animate(0, "translation", [0, 0.5, 1], [[0, 1, 0]] * 3, name="Nod")
    motions = read(scene, tmp_path)
    assert [(motion.name, motion.joint_names[0]) for motion in motions] == [
        ("walk", "Hips"), ("Nod", "Hips"), ("walk", "Root"),
    ]  # fmt: skip


def test_without_a_skin_animated_nodes_are_joints(tmp_path):
    scene = gltf_files.walker()
    scene.json["skins"] = []
    [motion] = read(scene, tmp_path)
    assert motion.joint_names == ("Hips", "Head", "Hand")
    np.testing.assert_allclose(motion.positions[0, 0, 2], [0.2, 1.5, 0], atol=1e-6)
    assert "no skin: its 3 animated nodes are taken as joints" in motion.notes[0]


def test_channels_of_morph_targets_are_counted(tmp_path):
    scene = gltf_files.walker()
    scene.animate(4, "weights", [0, 1], [0.0, 1.0], name="Walk")
    [motion] = read(scene, tmp_path)
    assert motion.notes[-1] == "1 channels that move no node are left out."


# ---------------------------------------------------------------------------- accessors


def test_normalized_integers(tmp_path):
    scene = arm(hand=(1, 0, 0))
    quarter = np.asarray([[0, 0, 0, 32767], [0, 0, 23170, 23170], [0, 0, 32767, 0]])
    values = scene.accessor(quarter, "i2", normalized=True)
    scene.animate(1, "rotation", [0, 0.1, 0.2], values)
    [motion] = read(scene, tmp_path)
    ends = motion.positions[[0, 3, 6], 0, 1]
    np.testing.assert_allclose(ends, [[1, 0, 0], [0, 1, 0], [-1, 0, 0]], atol=1e-4)


def test_sparse_accessors(tmp_path):
    scene = arm()
    values = scene.accessor(np.zeros((5, 3)))
    scene.json["accessors"][values]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": scene.view(bytes([1, 3])), "componentType": 5121},
        "values": {"bufferView": scene.view(np.asarray([[1, 2, 3], [4, 5, 6]], "<f4").tobytes())},
    }
    del scene.json["accessors"][values]["bufferView"]  # then it starts from zeros
    scene.animate(1, "translation", np.arange(5) / 30, values)
    [motion] = read(scene, tmp_path)
    expected = [[0, 0, 0], [1, 2, 3], [0, 0, 0], [4, 5, 6], [0, 0, 0]]
    np.testing.assert_allclose(motion.positions[:, 0, 0], expected, atol=1e-5)


def test_values_that_are_interleaved(tmp_path):
    scene = arm()
    both = np.random.default_rng(0).normal(size=(4, 6)).astype("<f4")
    view = scene.view(both.tobytes(), byteStride=24)
    accessor = {"bufferView": view, "byteOffset": 12, "componentType": 5126, "count": 4}
    scene.json["accessors"].append({**accessor, "type": "VEC3"})
    values = len(scene.json["accessors"]) - 1
    scene.animate(1, "translation", np.arange(4) / 60, values)
    [motion] = read(scene, tmp_path)
    np.testing.assert_allclose(motion.positions[:, 0, 0], both[:, 3:], atol=1e-5)


# ---------------------------------------------------------------------------- spoiled files


def spoiled(change):
    """A walk that `change` spoils: it gets the scene, and may return bytes instead."""
    scene = gltf_files.walker()
    data = change(scene)
    return scene.glb() if data is None else data


def put(*path):
    """A change that sets the value at a path into the JSON."""

    def change(scene):
        at = scene.json
        for key in path[:-2]:
            at = at[key]
        at[path[-2]] = path[-1]

    return change


def drop(*path):
    def change(scene):
        at = scene.json
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]

    return change


def nan(scene):
    at = scene.json["bufferViews"][2]["byteOffset"]
    scene.binary[at : at + 4] = b"\xff\xff\xff\xff"


def same_time(scene):
    at = scene.json["bufferViews"][1]["byteOffset"]
    scene.binary[at + 4 : at + 8] = bytes(4)


def far_key(scene):
    at = scene.json["bufferViews"][1]["byteOffset"]
    scene.binary[at + 16 : at + 20] = np.float32(1e12).tobytes()


def zero_turn(scene):
    scene.animate(1, "rotation", [0, 1], [IDENTITY, [0, 0, 0, 0]], name="Walk")


def zeros(scene):
    scene.json["accessors"][1]["count"] = 10**9
    del scene.json["accessors"][1]["bufferView"]


def without(*names):
    def change(scene):
        for name in names:
            scene.json[name] = []

    return change


def chain(scene):
    """A tree so deep that recursion would end the process; its last node is its first."""
    scene.json["nodes"] = [{"children": [(i + 1) % 50000]} for i in range(50000)]


SPOILED = {
    "empty": (lambda _: b"", "is empty: it has 0 bytes"),
    "text": (lambda _: b"HIERARCHY", "is not valid JSON"),
    "a picture": (lambda _: b"\x89PNG\r\n\x1a\n" * 10, "is not UTF-8"),
    "only the magic number": (lambda _: b"glTF", "is not a complete GLB file: it has 4 bytes"),
    "half": (lambda s: s.glb()[:500], "its header promises"),
    "version 1": (lambda s: s.glb()[:4] + b"\1\0\0\0" + s.glb()[8:], "is GLB of version 1"),
    "JSON beyond the end": (
        lambda s: s.glb()[:12] + b"\xff\xff\xff\x7f" + s.glb()[16:],
        "its first chunk should be the JSON, with 2,147,483,647 of",
    ),
    "another first chunk": (lambda s: s.glb()[:16] + b"BIN\0" + s.glb()[20:], "first chunk"),
    "nested": (lambda _: b"[" * 100000, "is nested too deeply"),
    "glTF 1": (put("asset", "version", "1.0"), "is glTF of version '1.0'; expected 2.0"),
    "no version": (drop("asset", "version"), "is glTF of version None"),
    "no asset": (drop("asset"), "lacks 'asset'"),
    "nodes that are none": (put("nodes", {}), "nodes is an object; expected a list"),
    "a node that is none": (put("nodes", 1, 7), "nodes[1] is 7; expected an object"),
    "a child that is none": (put("nodes", 1, "children", ["0"]), "children[0] is '0'"),
    "a child far away": (put("nodes", 1, "children", [77]), "node 77 does not exist"),
    "a child of two": (put("nodes", 3, "children", [2, 0]), "node 0 belongs to two nodes"),
    "a node that is its child": (put("nodes", 1, "children", [0, 1]), "belongs to two nodes"),
    "a circle": (put("nodes", 0, "children", [3]), "the parents form a circle"),
    "a long circle": (chain, "the parents form a circle"),
    "a joint far away": (put("skins", 0, "joints", [2, 99]), "skins[0]: joints: node 99"),
    "a joint that is none": (put("skins", 0, "joints", "all"), "joints is 'all'; expected a list"),
    "too few bind matrices": (
        put("accessors", 0, "count", 2), "inverseBindMatrices: 2 matrices of 3 joints",
    ),
    "a translation of two": (put("nodes", 2, "translation", [1, 2]), "has 2 values; expected 3"),
    "a rotation of texts": (put("nodes", 3, "rotation", ["a"] * 4), "rotation[0] is 'a'"),
    "a channel far away": (
        put("animations", 0, "channels", 0, "target", "node", 50), "node is 50, but there are 5",
    ),
    "a sampler far away": (
        put("animations", 0, "channels", 0, "sampler", 9), "sampler is 9, but there are 1",
    ),
    "a path that is none": (
        put("animations", 0, "channels", 0, "target", "path", ["rotation"]),
        "channels[0]: target: path is a list; expected a text",
    ),
    "no samplers": (drop("animations", 0, "samplers"), "animations[0] lacks 'samplers'"),
    "an unknown interpolation": (
        put("animations", 0, "samplers", 0, "interpolation", "MAGIC"),
        "interpolation 'MAGIC'; expected one of LINEAR, STEP, CUBICSPLINE",
    ),
    "a sampler without times": (drop("animations", 0, "samplers", 0, "input"), "input is None"),
    "times of another kind": (
        put("animations", 0, "samplers", 0, "input", 2),
        "accessors[2] is VEC3 of componentType 5126; expected SCALAR",
    ),
    "fewer values than times": (put("accessors", 2, "count", 4), "5 key times and 4 values"),
    "no keys": (put("accessors", 1, "count", 0), "0 key times and 5 values; expected one or more"),
    "10^9 keys": (
        put("accessors", 1, "count", 10**9),
        "takes 1,000,000,000 elements of 4 bytes, 4 apart",
    ),
    "10^18 keys": (put("accessors", 1, "count", 10**18), "takes 1,000,000,000,000,000,000 el"),
    "-1 keys": (put("accessors", 1, "count", -1), "takes -1 elements"),
    "10^9 zeros": (zeros, "accessors[1] has 1,000,000,000 elements and no data"),
    "an accessor far away": (
        put("animations", 0, "samplers", 0, "output", 44), "output is 44, but there are 3 access",
    ),
    "an offset beyond the end": (put("accessors", 2, "byteOffset", 4000), "from byte 4,"),
    "a negative offset": (put("accessors", 2, "byteOffset", -4), "takes 5 elements"),
    "a view far away": (put("accessors", 2, "bufferView", 7), "bufferView is 7, but there are 3"),
    "a view beyond the buffer": (put("bufferViews", 2, "byteLength", 10**6), "takes 5 elements"),
    "a stride that overlaps": (put("bufferViews", 2, "byteStride", 4), "of 12 bytes, 4 apart"),
    "a buffer that is longer": (
        put("buffers", [{"byteLength": 10**6}]), "buffers[0] should have 1,000,000 bytes",
    ),
    "a buffer in the parent folder": (
        put("buffers", [{"byteLength": 9, "uri": "../../secret.bin"}]),
        "its uri '../../secret.bin' should be a file in the folder of bad.glb",
    ),
    "a buffer at an absolute path": (
        put("buffers", [{"byteLength": 9, "uri": "/etc/hostname"}]), "should be a file in the",
    ),
    "a buffer on the web": (
        put("buffers", [{"byteLength": 9, "uri": "http://example.org/a"}]), "should be a file in",
    ),
    "a buffer that is gone": (
        put("buffers", [{"byteLength": 9, "uri": "gone.bin"}]), "gone.bin cannot be read: No such",
    ),
    "a data URI that is none": (
        put("buffers", [{"byteLength": 9, "uri": "data:;base64,@@@"}]),
        "its data URI cannot be read",
    ),
    "meshopt": (
        put("bufferViews", 2, "extensions", {"EXT_meshopt_compression": {}}),
        "is compressed by meshoptimizer, which is not read",
    ),
    "NaN": (nan, "has a value that is no finite number, in element 0"),
    "NaN in the JSON": (put("nodes", 2, "scale", [float("nan")] * 3), "scale[0] is nan"),
    "key times that stand still": (same_time, "the time of key 1 is not after that of the one"),
    "a key in 30,000 years": (far_key, "its keys span 1e+12 s, which is"),
    "a rotation of length 0": (zero_turn, "the rotation of key 1 is a quaternion of length 0"),
    "numbers that overflow": (put("nodes", 3, "scale", [1e308] * 3), "positions are infinite"),
    "nothing that moves": (
        without("skins", "animations"),
        "has no skeleton: neither a skin nor an animated node among its 5 nodes",
    ),
    "no nodes": (without("skins", "animations", "nodes"), "has no skeleton"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_files_say_what_is_wrong(tmp_path, name):
    change, reason = SPOILED[name]
    path = tmp_path / "bad.glb"
    path.write_bytes(spoiled(change))
    with pytest.raises(ValueError) as error:
        formats.read(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)


def deep(count):
    scene = gltf_files.walker()
    scene.json["nodes"] = [{"children": [i + 1]} for i in range(count - 1)] + [{}]
    scene.json["skins"] = [{"joints": [0, count // 2, count - 1]}]
    scene.json["animations"] = []
    return scene


def test_a_deep_tree(tmp_path):
    [motion] = read(deep(5000), tmp_path)  # Python's own stack ends at 1,000
    assert motion.parents == (-1, 0, 1)


def test_a_tree_that_is_no_skeleton(tmp_path):
    with pytest.raises(ValueError, match=r"a skeleton of 100,000 nodes; at most 10,000 are read"):
        read(deep(100_000), tmp_path)


# ---------------------------------------------------------------------------- a real file


def test_mixamo_by_blender(real_files):
    idle, walk = formats.read(real_files / "gltf_fbx" / "walking.glb")
    assert (idle.name, walk.name) == ("Idle", "Walk")
    for motion in (idle, walk):
        assert motion.positions.shape == (30, 1, 65, 3)
        assert (motion.fps, motion.unit_in_metres, motion.up) == (30.0, 1.0, "y")
        assert motion.joint_names[:3] == ("mixamorig:Hips", "mixamorig:Spine", "mixamorig:Spine1")
        at = motion.joint_names.index
        # As Blender 5.0 reads the file: the rest pose, and positions of the last frame.
        np.testing.assert_allclose(
            motion.rest[at("mixamorig:HeadTop_End")], [-6e-05, 1.7855, 0.06296], atol=1e-4
        )
        assert motion.parents[at("mixamorig:LeftUpLeg")] == 0
        assert 1.5 < np.ptp(motion.positions[0, 0, :, 1]) < 1.8
    np.testing.assert_allclose(
        walk.positions[-1, 0, at("mixamorig:LeftFoot")], [0.1444, 0.30268, -0.24174], atol=1e-4
    )
    np.testing.assert_allclose(
        idle.positions[-1, 0, at("mixamorig:LeftHand")], [0.3062, 0.89915, 0.21581], atol=1e-4
    )

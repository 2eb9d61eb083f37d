"""Trees of nodes: skeletons among them, the rate of keys, and positions over time."""

import numpy as np
import pytest

from motionalign.formats import scene


def keys(count, rate, start=0.0):
    return (start + np.arange(count) / rate).astype(np.float32).astype(np.float64)


# ---------------------------------------------------------------------------- rates


@pytest.mark.parametrize("rate", [24, 25, 30, 60, 120, 240, 24 / 1.001, 30 / 1.001, 20, 90, 33.5])
@pytest.mark.parametrize("start", [0, 1 / 24, 300])
def test_the_rate_of_regular_keys(rate, start):
    found, note = scene.frame_rate([keys(200, rate, start)])
    assert found == pytest.approx(rate, rel=1e-4)
    assert note.endswith("frames per second is the rate of its densest keys.")


def test_film_rates_are_told_from_whole_ones():
    assert scene.frame_rate([keys(100, 24 / 1.001)])[0] == 24 / 1.001
    assert scene.frame_rate([keys(100, 24)])[0] == 24


def test_the_densest_channel_gives_the_rate():
    channels = [keys(2, 1), keys(50, 25), keys(10, 5), np.asarray([0, 0.01, 2.0])]
    assert scene.frame_rate(channels)[0] == 25


def test_a_few_dense_keys_among_many_are_no_rate():
    assert scene.frame_rate([keys(100, 30), np.asarray([0, 0.001, 0.002])])[0] == 30


def test_keys_that_a_program_has_removed_leave_the_grid():
    kept = np.delete(keys(100, 30), [*range(3, 20), *range(40, 43), 60])
    assert scene.frame_rate([kept])[0] == 30


def test_keys_set_by_hand_are_sampled_between_them():
    assert scene.frame_rate([keys(10, 2)]) == (
        30, "2 frames per second is the rate of its densest keys; it is sampled 15 times as often.",
    )  # fmt: skip
    assert scene.frame_rate([keys(10, 12)])[0] == 36


def test_keys_of_which_there_are_too_many():
    assert scene.frame_rate([keys(1000, 1000)]) == (
        200, "1000 frames per second is the rate of its densest keys; one in 5 is taken.",
    )  # fmt: skip


def test_keys_on_the_grid_of_a_usual_rate():
    times = np.asarray([0, 1, 7, 12, 31, 32.0])
    assert scene.frame_rate([times / 24])[0] == 24
    assert scene.frame_rate([times[:3] / 25, times[2:] / 25]) == (
        25, "25 frames per second is the least usual rate that its keys fit.",
    )  # fmt: skip


@pytest.mark.parametrize("times", [[[0]], [[0, 1]], [[]], [], [[0, 0.123, 0.777, 1.9, 1.91]]])
def test_keys_without_a_rate(times):
    rate, note = scene.frame_rate([np.asarray(each, float) for each in times])
    assert (rate, note) == (30, "Its keys have no rate: it is sampled at 30 frames per second.")


def test_frames_from_the_first_key_to_the_last():
    times = scene.Budget().frame_times(0.5, 0.5 + 9 / 30 - 1e-7, 30, 3, 1000)
    np.testing.assert_allclose(times, 0.5 + np.arange(10) / 30)
    assert len(scene.Budget().frame_times(2, 2, 30, 3, 1000)) == 1
    long = keys(120_000, 120)  # 1,000 s, whose float32 are 30 µs apart
    assert len(scene.Budget().frame_times(long[0], long[-1], 120, 3, 1000)) == 120_000


@pytest.mark.parametrize("end", [1e7, 1e30, np.inf, np.nan])
def test_more_frames_than_a_file_can_have(end):
    with pytest.raises(ValueError, match=r"its keys span .* more than a file of 1,000 bytes has"):
        scene.Budget().frame_times(0, end, 30, 60, 1000)


def test_animations_have_a_budget_together():
    budget = scene.Budget()
    for _ in range(5):
        assert len(budget.frame_times(0, 9999, 1, 100, 1000)) == 10_000
    with pytest.raises(
        ValueError, match=r"is 1e\+04 frames of 100 joints .* with the animations b"
    ):
        budget.frame_times(0, 9999, 1, 100, 1000)
    assert len(budget.frame_times(0, 9999, 1, 100, 10**6)) == 10_000


# ---------------------------------------------------------------------------- skeletons

# 0 World, 1 Hips, 2 Spine, 3 Arm, 4 Leg, 5 Prop, 6 Handle
NAMES = ["World", "Hips", "Spine", "Arm", "Leg", "Prop", "Handle"]
PARENTS = [-1, 0, 1, 2, 1, 0, 5]


@pytest.mark.parametrize(
    ("skins", "expected"),
    [
        ([[1, 2, 3, 4]], [("World", "Hips Spine Arm Leg", (-1, 0, 1, 0))]),
        ([[4, 3, 2, 1]], [("World", "Hips Leg Spine Arm", (-1, 0, 0, 2))]),
        ([[1, 3, 4]], [("World", "Hips Arm Leg", (-1, 0, 0))]),
        ([[1, 2], [2, 3]], [("World", "Hips Spine Arm", (-1, 0, 1))]),
        ([[1], [3]], [("World", "Hips Arm", (-1, 0))]),
        ([[3, 4]], [("World", "Hips Spine Arm Leg", (-1, 0, 1, 0))]),
        ([[3, 6]], [("", "World Hips Spine Arm Prop Handle", (-1, 0, 1, 2, 0, 4))]),
        ([[1, 2], [5, 6]], [("World", "Hips Spine", (-1, 0)), ("World", "Prop Handle", (-1, 0))]),
        ([[6]], [("Prop", "Handle", (-1,))]),
    ],
)
def test_figures(skins, expected):
    found = scene.figures(NAMES, PARENTS, skins)
    assert [(f.name, " ".join(f.names), f.parents) for f in found] == expected
    for figure in found:
        assert [NAMES[joint] for joint in figure.joints] == list(figure.names)


def test_roots_without_a_common_node_stay_roots():
    [figure] = scene.figures(["A", "B"], [-1, -1], [[0, 1]])
    assert (figure.names, figure.parents) == (("A", "B"), (-1, -1))


def test_a_circle_is_an_error():
    with pytest.raises(ValueError, match="the parents form a circle"):
        scene.figures(["A", "B", "C"], [-1, 2, 1], [[0]])


def figure(*names, parents=None):
    joints = tuple(range(len(names)))
    return scene.Figure("who", joints, names, parents or tuple(j - 1 for j in joints))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (figure("Hips", "Head"), True),
        (figure("Hips.001", "Head.001"), True),
        (figure("Hips_2", "Head_2"), True),
        (figure("Ben:Hips", "Ben:Head"), True),
        (figure("Ben_Hips", "Ben_Head"), True),
        (figure("Hips", "Tail"), False),
        (figure("Hips", "Head", "Hand"), False),
        (figure("Head", "Hips"), False),
        (figure("Hips", "Head", parents=(-1, -1)), False),
    ],
)
def test_persons_have_the_same_joints(other, same):
    groups = scene.persons([figure("Hips", "Head"), other])
    assert [len(group) for group in groups] == ([2] if same else [1, 1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Character1_Hips Character1_Head", "Character2_Hips Character2_Head"),
        ("Bip01 Bip01.Pelvis Bip01.Head", "Bip02 Bip02.Pelvis Bip02.Head"),
        ("Anna:Hips Anna:Head", "Ben:Hips Ben:Head"),
    ],
)
def test_names_that_keep_persons_apart(one, other):
    [group] = scene.persons([figure(*one.split()), figure(*other.split())])
    assert [each.names for each in group] == [tuple(one.split()), tuple(other.split())]
    assert [each.name for each in group] == [one.split()[0], other.split()[0]]


def test_persons_are_called_as_the_nodes_above_them():
    two = [figure("Hips", "Head")._replace(name=name) for name in ("Anna", "Ben")]
    assert [each.name for each in scene.persons(two)[0]] == ["Anna", "Ben"]
    assert [each.name for each in scene.persons([two[0]] * 2)[0]] == ["Hips", "Hips.2"]


def test_names_without_a_common_start_are_kept_whole():
    assert len(scene.persons([figure("LegA", "LegB"), figure("ArmA", "ArmB")])) == 2


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("World A:Hips A:Head B:Hips B:Head", [[1, 2], [3, 4]]),
        ("World A_Hips A_Head B_Hips B_Head", [[1, 2], [3, 4]]),
        ("World Hips Leg Spine Head", [[1, 2, 3, 4]]),
    ],
)
def test_trees_below_one_node(names, expected):
    names = names.split()
    assert scene.trees(names, [-1, 0, 1, 0, 3], {1, 2, 3, 4}) == expected


def test_trees_without_a_node_above_them():
    assert scene.trees(["A", "B", "C"], [-1, 0, -1], {0, 1, 2}) == [[0, 1], [2]]


def test_a_tree_of_too_many_nodes():
    with pytest.raises(ValueError, match=r"a skeleton of 10,001 nodes; at most 10,000 are read"):
        scene.figures(["n"] * 10_001, list(range(-1, 10_000)), [[10_000]])


def test_numbers_that_tell_joints_apart_are_kept():
    tail = figure("Tail_1", "Tail_2")
    assert len(scene.persons([tail, figure("Tail_2", "Tail_3")])) == 2


# ---------------------------------------------------------------------------- positions


def test_the_rest_pose_is_the_place_nearest_to_the_nodes():
    def pose(node, chunk, up):
        local = scene.matrix(np.asarray([[0.0, node, 0.0]]), np.eye(3)[None])
        return scene.World(local if up is None else up.matrix @ local)

    def at(*position):
        return scene.matrix(np.asarray([position]), np.eye(3)[None])[0]

    own = figure("A", "B", "C")
    bound = {0: at(5, 0, 0), 1: at(6, 0, 0), 2: at(8, 0, 0)}

    def rest(bound, *places):
        return scene.rest([-1, 0, 1], own, pose, bound, places).tolist()

    still = [[0, 0, 0], [0, 1, 0], [0, 3, 0]]
    assert rest({}, np.eye(4)) == still
    assert rest(bound, np.eye(4)) == [[5, 0, 0], [6, 0, 0], [8, 0, 0]]
    assert rest(bound, np.eye(4), at(-5, 0, 0)) == [[0, 0, 0], [1, 0, 0], [3, 0, 0]]
    assert rest(bound, np.diag([2.0, 2, 2, 1])) == still  # bones of twice the length
    partly = rest({0: bound[0], 1: bound[1]}, np.eye(4))
    np.testing.assert_allclose(partly, [[5, 0, 0], [6, 0, 0], [6, 2, 0]])
    assert rest({0: np.full((4, 4), np.nan)}, np.eye(4)) == still


def test_positions_of_more_frames_than_are_in_memory_at_once():
    times = np.arange(5000) / 100

    def pose(node, chunk, up):
        assert (up is None) == (node == 0)
        assert len(chunk) <= 2048
        moves = chunk if node == 1 else np.zeros(1)
        local = scene.matrix(np.stack([moves, 0 * moves, 0 * moves + 1], -1), np.eye(3)[None])
        return scene.World(local if up is None else up.matrix @ local)

    found = scene.positions([-1, 0, 1], [2, 0], pose, times)
    assert found.shape == (5000, 2, 3)
    np.testing.assert_array_equal(found[:, 0], np.stack([times, 0 * times, 0 * times + 3], -1))
    np.testing.assert_array_equal(found[:, 1], [[0, 0, 1]] * 5000)
    matrices = scene.matrices([-1, 0, 1], [2], pose, 7.0)
    assert sorted(matrices) == [0, 1, 2]
    np.testing.assert_array_equal(matrices[2][:3, 3], [7, 0, 3])

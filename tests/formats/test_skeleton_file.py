"""Skeleton files, and what is refused as one."""

import json

import pytest

from motionalign.formats import skeleton_file
from motionalign.formats.skeleton_file import SkeletonFile, read_skeleton_file
from motionalign.skeleton import PARTS

CHAINS = {part: ["Hips", "Head"] for part in PARTS}
NAMES = {"joint_names": ["Head", "Hips", "Spine"]}


def written(tmp_path, content):
    path = tmp_path / "clip.skeleton.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_everything_that_can_be_said(tmp_path):
    content = {
        **NAMES,
        "parents": ["Spine", None, "Hips"],
        "fps": 30,
        "unit": "cm",
        "up": "z",
        "dims": 3,
        "chains": dict(reversed(CHAINS.items())),
        "roles": {"pelvis": ["Hips", "Spine"], "head": "Head"},
        "convention": "mine",
    }
    path = written(tmp_path, content)
    found = read_skeleton_file(path)
    assert found == SkeletonFile(
        joint_names=("Head", "Hips", "Spine"),
        parents=(2, -1, 1),
        fps=30.0,
        unit="cm",
        up="z",
        dims=3,
        chains=dict.fromkeys(PARTS, ("Hips", "Head")),
        roles={"pelvis": ("Hips", "Spine"), "head": ("Head",)},
        convention="mine",
        source=str(path),
    )
    assert tuple(found.chains or ()) == PARTS
    assert found.unit_in_metres == 0.01


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ([-1, 0, 1], (-1, 0, 1)),
        ([None, 0, 0], (-1, 0, 0)),
        ([2, 2, 2], (2, 2, -1)),  # a root that is its own parent
    ],
)
def test_parents_as_indices(tmp_path, parents, expected):
    assert read_skeleton_file(written(tmp_path, {"parents": parents})).parents == expected
    found = read_skeleton_file(written(tmp_path, {**NAMES, "parents": parents}))
    assert found.parents == expected


def test_what_is_absent_or_null_is_not_stated(tmp_path):
    found = read_skeleton_file(written(tmp_path, {"unit": 0.056444, "fps": None}))
    assert found == SkeletonFile(unit=0.056444, source=found.source)
    assert found.unit_in_metres == 0.056444
    assert SkeletonFile().unit_in_metres is None


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "skeleton.json"
    path.write_bytes(b'\xef\xbb\xbf{"up": "-y"}\r\n')
    assert read_skeleton_file(path).up == "-y"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is not valid JSON"),
        ("[1]", "is a list; expected an object"),
        ("null", "is None; expected an object"),
        ({}, "states nothing; a skeleton file can have joint_names, parents, fps, unit, up"),
        ({"fps": None}, "states nothing"),
        ({"joints": ["a"]}, "has no field 'joints'; known: joint_names, parents, fps"),
        ({"source": "x"}, "has no field 'source'"),
        ({"joint_names": []}, "joint_names is empty"),
        ({"joint_names": "Hips"}, "joint_names is 'Hips'; expected a list"),
        ({"joint_names": ["a", 1]}, r"joint_names\[1\] is 1; expected a text"),
        ({"joint_names": ["a", " "]}, r"joint_names\[1\] is ' '; expected a name"),
        ({"joint_names": ["a", "b", "a"]}, "joint_names has 'a' more than once"),
        ({"parents": []}, "parents has 0 roots"),
        ({"parents": {"a": "b"}}, "parents is an object; expected a list"),
        ({"parents": [None, 0.5]}, r"parents\[1\] is 0.5; expected a text"),
        ({"parents": [None, True]}, r"parents\[1\] is True"),
        ({"parents": [None, "a"]}, "parents are names; the skeleton file must then have joint"),
        ({**NAMES, "parents": [None, "Head", "Tail"]}, r"parents\[2\] is 'Tail', which is not"),
        ({**NAMES, "parents": [None, "Head"]}, r"parents is int64 \[2\]; expected 3 indices"),
        ({**NAMES, "parents": [None, 0, 3]}, r"joint 2 \(Spine\) has the parent 3; expected 0 to"),
        ({**NAMES, "parents": [None, -2, 0]}, r"joint 1 \(Hips\) has the parent -2"),
        ({**NAMES, "parents": [1, 0, None]}, "the parents form a circle"),
        ({**NAMES, "parents": [None, None, 1]}, r"has 2 roots \(Head, Hips\); expected one tree"),
        ({"fps": 0}, "fps is 0; expected a positive number of frames per second"),
        ({"fps": "30"}, "fps is '30'"),
        ({"fps": True}, "fps is True"),
        ('{"fps": NaN}', "fps is nan"),
        ('{"fps": Infinity}', "fps is inf"),
        ({"unit": "metres"}, "unit is 'metres'; expected one of m, cm, mm, in, ft, or a positive"),
        ({"unit": 0}, "unit is 0"),
        ({"unit": False}, "unit is False"),
        ({"unit": ["cm"]}, "unit is"),
        ('{"unit": 1e999}', "unit is inf"),
        ({"unit": 10**400}, "unit is 1000"),
        ({"fps": 10**400}, "fps is 1000"),
        ({"up": "Z"}, "up is 'Z'; expected one of x, -x, y, -y, z, -z"),
        ({"up": 1}, "up is 1"),
        ({"dims": 4}, "dims is 4; expected one of 2, 3"),
        ({"dims": "2"}, "dims is '2'"),
        ({"dims": 2.0}, "dims is 2.0"),
        ({"chains": []}, "chains is a list; expected an object"),
        ({"chains": {"torso": ["a"]}}, "chains lacks right_leg, left_leg, right_arm, left_arm"),
        ({"chains": {**CHAINS, "tail": ["a"]}}, "unknown part 'tail'; expected right_leg"),
        ({"chains": {**CHAINS, "torso": []}}, "chains: torso is empty"),
        ({"chains": {**CHAINS, "torso": ["a", "a"]}}, "chains: torso has 'a' more than once"),
        ({"chains": {**CHAINS, "torso": [0, 1]}}, r"chains: torso\[0\] is 0; expected a text"),
        ({**NAMES, "chains": {**CHAINS, "torso": ["Tail"]}}, "chains: torso has 'Tail', which is "
         r"not one of the joints \(Head, Hips, Spine\)"),
        ({"roles": {"pelvis": None}}, "roles: pelvis is None"),
        ({"roles": {"pelvis": []}}, "roles: pelvis is empty"),
        ({**NAMES, "roles": {"pelvis": "LASI"}}, "roles: pelvis has 'LASI', which is not one"),
        ({"roles": {"knee": "a"}}, "unknown role 'knee'; expected pelvis, chest, .*, left_knee"),
        ({"convention": 3}, "convention is 3; expected a text"),
    ],
)  # fmt: skip
def test_what_is_no_skeleton_file(tmp_path, content, problem):
    with pytest.raises(ValueError, match=problem) as error:
        read_skeleton_file(written(tmp_path, content))
    assert "clip.skeleton.json" in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json cannot be read"):
        read_skeleton_file(tmp_path / "none.json")


def test_it_is_fitted_to_the_order_of_a_motion():
    said = SkeletonFile(("c", "a", "b"), (2, -1, 1), roles={"pelvis": ("a",)})
    found = said.fitted(["a", "b", "c"], "clip.bvh")
    assert (found.joint_names, found.parents) == (("a", "b", "c"), (-1, 0, 1))
    assert found.roles == {"pelvis": ("a",)}
    assert SkeletonFile(fps=30.0).fitted(["a"], "clip.bvh").joint_names == ("a",)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (SkeletonFile(("a", "b")), r"joint_names are 2, but there are 3 joints in clip\.bvh"),
        (SkeletonFile(("a", "b", "x")), r"joint_names has 'x', but the joint is 'c' in clip\.bvh"),
        (SkeletonFile(parents=(-1, 0)), r"parents has 2 entries, and clip\.bvh has 3 joints"),
        (SkeletonFile(roles={"head": ("x",)}), "roles: head has 'x', which is not one of"),
        (SkeletonFile(chains={"torso": ("a", "x")}), "chains: torso has 'x', which is not"),
    ],
)
def test_it_must_fit_to_a_motion(said, problem):
    with pytest.raises(ValueError, match=problem):
        said.fitted(["a", "b", "c"], "clip.bvh")


def test_where_it_lies(tmp_path):
    clip = tmp_path / "clip.npy"
    assert skeleton_file.beside(clip) is None
    (tmp_path / "skeleton.json").touch()
    assert skeleton_file.beside(clip) == tmp_path / "skeleton.json"
    (tmp_path / "clip.skeleton.json").touch()
    assert skeleton_file.beside(clip) == tmp_path / "clip.skeleton.json"
    assert skeleton_file.beside(tmp_path / "other.npy") == tmp_path / "skeleton.json"
    assert all(map(skeleton_file.is_skeleton_file, tmp_path.iterdir()))
    assert not skeleton_file.is_skeleton_file(clip)

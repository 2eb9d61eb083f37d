"""Motive's CSV exports: skeletons, markers, versions of the format, and spoiled files."""

import mutations
import numpy as np
import pytest

from motionalign import formats

BONES = {"A": "Root", "LThigh": "A", "LShin": "LThigh", "Ab": "A"}


def bones(owner="A", frames=4, seed=0):
    """{(type, name, parent): [T, 3]} of a skeleton, whose root is called as it is."""
    rng = np.random.default_rng(seed)
    return {
        ("Bone", f"{owner}:{name.replace('A', owner, 1) if name == 'A' else name}",
         "Root" if parent == "Root" else f"{owner}:{owner if parent == 'A' else parent}"):
        rng.normal(0, 900, (frames, 3)).round(6)
        for name, parent in BONES.items()
    }  # fmt: skip


def markers(names, kind="Marker", frames=4, seed=1):
    rng = np.random.default_rng(seed)
    return {(kind, name, ""): rng.normal(0, 900, (frames, 3)).round(6) for name in names}


def write(path, things, *, version="1.25", unit="Millimeters", space="Global", parents=True,
          rotations=True, blank=True, rate=120, total=None, end="\r\n", bom=True, frames=None,
          **facts):  # fmt: skip
    """An export of Motive; NaN is a blank cell."""
    count = len(next(iter(things.values())))
    facts = {
        "Format Version": version, "Take Name": "Take 1, final", "Capture Frame Rate": 240,
        "Export Frame Rate": rate, "Total Exported Frames": count if total is None else total,
        "Rotation Type": "Quaternion", "Length Units": unit, "Coordinate Space": space, **facts,
    }  # fmt: skip
    rows = {name: ["", name] for name in ("Type", "Name", "ID", "Parent")}
    measures, axes, table = ["", ""], ["Frame", "Time (Seconds)"], []
    for i, ((kind, name, parent), values) in enumerate(things.items()):
        turned = rotations and kind == "Bone"
        names = ["Rotation"] * 4 * turned + ["Position"] * 3
        measures += names + ["Mean Marker Error"] * (kind == "Rigid Body")
        axes += list("XYZW" if turned else "") + list("XYZ") + [""] * (kind == "Rigid Body")
        for row, cell in zip(rows.values(), (kind, name, f"{i:X}F", parent)):
            row += [cell] * (len(axes) - len(row))
        table += [np.full((count, 4), 0.5)] if turned else []
        table += [values] + [np.full((count, 1), 0.1)] * (kind == "Rigid Body")
    if not parents:
        del rows["Parent"]
    cells = [str(each) for pair in facts.items() for each in pair]
    cells = [f'"{cell}"' if "," in cell else cell for cell in cells]
    lines = [",".join(cells)] + [""] * blank
    lines += [",".join(row) for row in (*rows.values(), measures, axes)]
    for i, row in enumerate(np.concatenate(table, axis=1)):
        number = i if frames is None else frames[i]
        values = ["" if np.isnan(each) else f"{each:.6f}" for each in row]
        lines.append(",".join([str(number), f"{number / rate:.6f}", *values]))
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + (end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("form", [
    {}, {"bom": False}, {"end": "\n"}, {"blank": False}, {"rotations": False},
    {"version": "1.23", "parents": False},
])  # fmt: skip
def test_bones_are_the_joints(tmp_path, form):
    things = bones() | markers(["A:WaistLFront", "A:Hand", "Unlabeled 12"])
    things |= markers(["A:WaistLFront"], "Bone Marker")
    (motion,) = formats.read(write(tmp_path / "a.csv", things, **form))
    assert (motion.format, motion.name) == ("Motive CSV", "Take 1, final")
    assert motion.joint_names == ("Hip", "LThigh", "LShin", "Ab")
    assert motion.parents == (-1, 0, 1, 0)
    assert motion.persons == ("A",)
    np.testing.assert_array_equal(motion.positions[:, 0], np.stack(list(bones().values()), 1))
    assert (motion.fps, motion.unit_in_metres, motion.up) == (120, 0.001, None)
    left = "What is read is of the type Bone; left out: 1 Bone Marker, 2 Marker, 1 unlabelled"
    assert motion.notes[-1 if form.get("parents", True) else 0].startswith(left)


def test_rows_may_lack_their_names(tmp_path):
    """As in exports of versions before 1.23, whose rows of types and names begin with commas."""
    things = markers(["Hand:Thumb", "Hand:Index"])
    path = write(tmp_path / "a.csv", things, version="1.2", parents=False)
    content = path.read_bytes()
    for name in (b"Type", b"Name", b"ID"):
        content = content.replace(b"\n," + name + b",", b"\n,,")
    path.write_bytes(content)
    [motion] = formats.read(path)
    assert motion.joint_names == ("Thumb", "Index")
    np.testing.assert_array_equal(motion.positions[:, 0, 1], things["Marker", "Hand:Index", ""])


def test_a_parent_may_come_later(tmp_path):
    things = dict(reversed(bones().items()))
    (motion,) = formats.read(write(tmp_path / "a.csv", things))
    at = motion.joint_names.index
    for bone, parent in (("LShin", "LThigh"), ("LThigh", "Hip"), ("Ab", "Hip")):
        assert motion.parents[at(bone)] == at(parent)
    np.testing.assert_array_equal(
        motion.positions[:, 0, at("LShin")], things["Bone", "A:LShin", "A:LThigh"]
    )


def test_skeletons_are_persons(tmp_path):
    """One that is not there in a frame is a gap, and one may have bones that the other lacks."""
    first, second = bones("Anna"), bones("Ben", seed=3)
    del second["Bone", "Ben:Ab", "Ben:Ben"]
    for values in second.values():
        values[1:3] = np.nan
    (motion,) = formats.read(write(tmp_path / "a.csv", first | second))
    assert motion.persons == ("Anna", "Ben")
    assert motion.joint_names == ("Hip", "LThigh", "LShin", "Ab")
    np.testing.assert_array_equal(motion.positions[:, 0], np.stack(list(first.values()), 1))
    np.testing.assert_array_equal(motion.positions[:, 1, :3], np.stack(list(second.values()), 1))
    assert np.isnan(motion.positions[:, 1, 3]).all()


def test_unknown_bones_without_parents_have_no_tree(tmp_path):
    things = bones() | {("Bone", "A:Tail", "A:A"): np.zeros((4, 3))}
    (motion,) = formats.read(write(tmp_path / "a.csv", things, parents=False))
    assert motion.parents is None and motion.joint_names[-1] == "Tail"
    assert "The file does not state the parents of its bones." in motion.notes


def test_markers_where_there_are_no_bones(tmp_path):
    things = markers(["A:LASI", "A:RASI", "A:C7", "Unlabeled 3"])
    things["Marker", "A:C7", ""][:] = np.nan
    things["Marker", "A:LASI", ""][2, 1] = np.nan
    things |= markers(["A:LASI"], "Bone Marker") | markers(["Cart"], "Rigid Body")
    (motion,) = formats.read(write(tmp_path / "a.csv", things))
    assert (motion.joint_names, motion.persons) == (("LASI", "RASI"), ("A",))
    assert np.isnan(motion.positions[2, 0, 0]).all()
    expected = things["Marker", "A:RASI", ""]
    np.testing.assert_array_equal(motion.positions[:, 0, 1], expected)
    assert motion.notes == (
        "What is read is of the type Marker; left out: 1 Bone Marker, 1 Rigid Body, "
        "1 unlabelled Marker.",
        "1 without any position are left out: C7.",
    )


def test_sets_of_markers_are_persons_only_if_they_are_alike(tmp_path):
    (motion,) = formats.read(write(tmp_path / "a.csv", markers(["A:C7", "A:T10", "B:C7"])))
    assert (motion.persons, motion.joint_names) == (("A", "B"), ("C7", "T10"))
    (motion,) = formats.read(write(tmp_path / "a.csv", markers(["Arm:1", "Leg:2", "C7"])))
    assert (motion.persons, motion.joint_names) == (("",), ("Arm:1", "Leg:2", "C7"))


def test_rigid_bodies_where_there_is_nothing_else(tmp_path):
    things = markers(["Cart", "Cup"], "Rigid Body")
    (motion,) = formats.read(write(tmp_path / "a.csv", things))
    assert motion.joint_names == ("Cart", "Cup")
    np.testing.assert_array_equal(motion.positions[:, 0], np.stack(list(things.values()), 1))


@pytest.mark.parametrize(
    ("unit", "metres"),
    [("Meters", 1), ("Centimeters", 0.01), ("Feet", 0.3048), ("Inches", 0.0254), ("", None)],
)
def test_units(tmp_path, unit, metres):
    (motion,) = formats.read(write(tmp_path / "a.csv", bones(), unit=unit))
    assert motion.unit_in_metres == metres


def test_what_is_not_as_stated_is_noted(tmp_path):
    path = write(tmp_path / "a.csv", bones(), total=17263, frames=[0, 1, 2, 8])
    (motion,) = formats.read(path)
    assert motion.notes == (
        "The times jump in 1 places, where frames are missing.",
        "The header states 17263 frames; 4 are there.",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Format Version", "Version", r"a\.csv: its content is none of the formats"),
        ("Global", "Local", r"line 1: Coordinate Space is Local.*export it again with Global"),
        ("Millimeters", "Miles", r"line 1: Length Units is 'Miles'; expected Meters"),
        ("Export Frame Rate,120", "Export Frame Rate,x", r"Export Frame Rate is 'x'; expected a"),
        ("\nFrame,", "\nFrames,", r"no line that begins with Frame among its first 12"),
        (",Type,", ",Kind,", r"has no line Type before line 8"),
        ("A:LThigh,A:LThigh,A:LThigh,A:LThigh,A:LThigh,A:LThigh,A:LThigh,A:LShin", "A:B,A:B,A:B,"
         "A:B,A:B,A:B,A:B,A:LShin", r"the parent of bone 'LShin', 'LThigh', is none of its bones"),
        (",Parent,Root,Root,Root,Root,Root,Root,Root", ",Parent" + ",A:LShin" * 7,
         r"of the parents of its bones, the parents form a circle"),
        ("X,Y,Z,W,X,Y,Z,", "X,Y,Z,W,X,Y,Y,", r"line 8: column 9 of 'A:A' is 'Y'; expected X, Y"),
        ("X,Y,Z,W,X,Y,Z,", "X,Y,Z,W,X,Y,,", r"line 8: column 9 of 'A:A' is ''; expected X, Y"),
        ("\n2,0.016667,", "\n2,", r"line 11: 29 values, expected 30"),
        ("\n2,0.016667,", "\n2,x,", r"line 11: column 2 is 'x'; expected a finite number"),
        ("Position", "Positions", r"has no position of a bone, a labelled marker or a rigid"),
    ],
)  # fmt: skip
def test_spoiled_files_are_refused_with_their_line(tmp_path, old, new, message):
    path = write(tmp_path / "a.csv", bones(), end="\n")
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, -1 if old == "Position" else 1), "utf-8")
    with pytest.raises(ValueError, match=message):
        formats.read(path)


def test_files_without_frames_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", bones(), end="\n")
    path.write_text("\n".join(path.read_text().split("\n")[:8]))
    with pytest.raises(ValueError, match="no row with a frame after line 8"):
        formats.read(path)
    path.write_text("Format Version,1.23")
    with pytest.raises(ValueError, match="no line that begins with Frame among its first 1"):
        formats.read(path)


def test_a_quoted_cell_of_several_lines(tmp_path):
    path = write(tmp_path / "a.csv", bones(), **{"Take Notes": "one, two"})
    given = path.read_text("utf-8")
    path.write_text(given.replace("one, two", "one,\ntwo"), "utf-8")
    (motion,) = formats.read(path)
    np.testing.assert_array_equal(motion.positions[:, 0], np.stack(list(bones().values()), 1))
    path.write_text(given.replace('"one, two"', '"one, two'), "utf-8")
    with pytest.raises(ValueError, match="no line that begins with Frame among its first 12"):
        formats.read(path)
    path.write_text(given.replace("one, two", "a" * 200_000), "utf-8")
    with pytest.raises(ValueError, match=r"a\.csv, line 1: field larger than field limit"):
        formats.read(path)


def test_a_real_file(real_files):
    """Values read off by hand."""
    (motion,) = formats.read(real_files / "csv" / "optitrack_motive_example.csv")
    assert motion.positions.shape == (32, 1, 51, 3)
    assert (motion.fps, motion.unit_in_metres, motion.persons) == (120, 0.001, ("763",))
    np.testing.assert_array_equal(motion.positions[0, 0, 0], [285.756531, 858.265198, 20.016041])
    at = motion.joint_names.index
    np.testing.assert_array_equal(
        motion.positions[31, 0, at("Ab")], [294.230408, 935.139709, 24.39934]
    )
    assert [motion.joint_names[motion.parents[at(bone)]] for bone in ("Ab", "LUArm", "RToe")] == [
        "Hip", "LShoulder", "RFoot",
    ]  # fmt: skip
    assert motion.notes == (
        "The header states 17263 frames; 32 are there.",
        "What is read is of the type Bone; left out: 54 Bone Marker, 54 Marker, "
        "28 unlabelled Marker.",
    )


def test_the_tree_of_a_real_file_is_that_of_motives_skeleton(real_files, tmp_path):
    """An export without the parents gives the same."""
    path = real_files / "csv" / "optitrack_motive_example.csv"
    lines = path.read_bytes().split(b"\r\n" if b"\r\n" in path.read_bytes() else b"\n")
    kept = [line for line in lines if not line.startswith(b",Parent,")]
    assert len(kept) == len(lines) - 1
    (tmp_path / "old.csv").write_bytes(b"\n".join(kept))
    (motion,), (other,) = formats.read(path), formats.read(tmp_path / "old.csv")
    assert (motion.joint_names, motion.parents) == (other.joint_names, other.parents)
    np.testing.assert_array_equal(motion.positions, other.positions)


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    path = tmp_path / "a.csv"
    write(path, bones("Anna") | bones("Ben") | markers(["Anna:C7"]))
    assert 20 < mutations.refusals(path) < 100

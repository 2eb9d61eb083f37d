"""ASF and AMC files."""

import re

import motion_files
import numpy as np
import pytest
from motion_files import Joint
from scipy.spatial.transform import Rotation

from motionalign import anatomy, formats

# A leg: the femur's coordinate frame is turned by 90 degrees about z, so that its own x is the
# world's y. The lines are numbered in SPOILED_ASF.
ASF = """# a leg
:version 1.10
:name leg
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
  made by hand, root and bone
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name hip
    direction 1 0 0
    length 1
    axis 0 0 0 XYZ
  end
  begin
    id 2
    name femur
    direction 0 -1 0
    length 4
    axis 0 0 90 XYZ
    dof rx rz
    limits (-160.0 20.0)
           (-70.0 70.0)
  end
  begin
    id 3
    name tibia
    direction 0 0 1
    length 3
    axis 0 0 0 XYZ
    dof rx
    limits (-10.0 170.0)
  end
:hierarchy
  begin
    root hip
    hip femur
    femur tibia
  end
"""

AMC = """#!OML:ASF leg.asf
:FULLY-SPECIFIED
:DEGREES
1
root 0 9 0 0 0 0
femur 0 0
tibia 0
2
root 1 9 0 0 0 0
femur 90 0
tibia 90
"""


def read(tmp_path, amc=AMC, asf=ASF, stem="leg"):
    (tmp_path / "leg.asf").write_bytes(asf if isinstance(asf, bytes) else asf.encode())
    path = tmp_path / f"{stem}.amc"
    path.write_bytes(amc if isinstance(amc, bytes) else amc.encode())
    (motion,) = formats.read(path)
    return motion


def test_a_leg_by_hand(tmp_path):
    motion = read(tmp_path)
    assert motion.name == "leg" and motion.format == "ASF/AMC" and motion.fps is None
    assert motion.joint_names == ("root", "hip", "femur", "tibia", "tibia_end")
    assert motion.parents == (-1, 0, 1, 2, 3) and motion.ends == (4,)
    assert motion.unit_in_metres == pytest.approx(0.0564444, abs=1e-7) and motion.up is None
    assert motion.notes == ("The file states no rate; CMU's is 120 frames per second.",)
    rest = [(0, 0, 0), (0, 0, 0), (1, 0, 0), (1, -4, 0), (1, -4, 3)]
    np.testing.assert_allclose(motion.rest, rest, atol=1e-12)
    # Second frame: the femur turns about its own x, which is the world's y, and keeps its bone. The
    # tibia turns from +Z to -Y, before the femur turns it about y.
    expected = [
        [(0, 9, 0), (0, 9, 0), (1, 9, 0), (1, 5, 0), (1, 5, 3)],
        [(1, 9, 0), (1, 9, 0), (2, 9, 0), (2, 5, 0), (2, 2, 0)],
    ]
    np.testing.assert_allclose(motion.positions[:, 0], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "bone"),
    [
        # The femur's bone, -4 along y, in the first frame. x to -z, then z stays.
        ({"femur 0 0": "femur 90 90", "0 0 90 XYZ": "0 0 0 XYZ"}, (0, 0, -4)),
        # z to +x, then x stays.
        ({"femur 0 0": "femur 90 90", "0 0 90 XYZ": "0 0 0 XYZ", "dof rx rz": "dof rz rx"},
         (4, 0, 0)),
        # Its own x is -z: x turned about x stays, and about y comes to -z.
        ({"femur 0 0": "femur 90 0", "0 0 90 XYZ": "90 90 0 XYZ"}, (-4, 0, 0)),
        # Its own x is y: x turned about y is -z, and about x comes to y.
        ({"femur 0 0": "femur 90 0", "0 0 90 XYZ": "90 90 0 YXZ"}, (0, -4, 0)),
        # The root: -y about x is -z, and about y comes to -x.
        ({"root 0 9 0 0 0 0": "root 0 9 0 90 90 0"}, (-4, 0, 0)),
        # -y about y stays, and about x comes to -z.
        ({"root 0 9 0 0 0 0": "root 0 9 0 90 90 0", "RX RY RZ": "RY RX RZ"}, (0, 0, -4)),
        # The order of the root's channels with the translation last.
        ({"root 0 9 0 0 0 0": "root 90 0 0 0 9 0", "TX TY TZ RX RY RZ": "RX RY RZ TX TY TZ"},
         (0, 0, -4)),
    ],
)  # fmt: skip
def test_the_first_axis_turns_first(changes, bone, tmp_path):
    amc, asf = AMC.split("2\n")[0], ASF
    for old, new in changes.items():
        assert old in amc + asf
        amc, asf = amc.replace(old, new), asf.replace(old, new)
    (places,) = read(tmp_path, amc, asf).positions[0]
    np.testing.assert_allclose(places[3] - places[2], bone, atol=1e-12)
    np.testing.assert_allclose(places[0], (0, 9, 0), atol=1e-12)


def test_a_root_that_is_moved_moves_the_whole_motion(tmp_path):
    asf = ASF.replace("position 0 0 0", "position 1 2 3").replace(
        "orientation 0 0 0", "orientation 0 0 90"
    )
    motion, still = read(tmp_path, asf=asf), read(tmp_path)
    turned = np.stack([-still.positions[..., 1], still.positions[..., 0], still.positions[..., 2]])
    np.testing.assert_allclose(
        motion.positions, np.array([1, 2, 3]) + np.moveaxis(turned, 0, -1), atol=1e-12
    )
    rest = [(1, 2, 3), (1, 2, 3), (1, 3, 3), (5, 3, 3), (5, 3, 6)]
    np.testing.assert_allclose(motion.rest, rest, atol=1e-12)
    assert motion.parents == still.parents
    assert motion.notes[0] == (
        "The root's position and orientation in the ASF move the whole motion."
    )


@pytest.mark.parametrize(
    ("length", "unit"), [("0.45", 0.0254 / 0.45), ("2.54", 0.01), ("1.0", None), ("1", None)]
)
def test_the_unit_is_that_of_the_length(length, unit, tmp_path):
    found = read(tmp_path, asf=ASF.replace("0.45", length)).unit_in_metres
    assert found == (unit and pytest.approx(unit))
    assert read(tmp_path, asf=ASF.replace("  length 0.45\n", "")).unit_in_metres is None


def test_layouts_that_mean_the_same(tmp_path):
    expected = read(tmp_path).positions
    for change in (
        lambda s: s.replace("\n", "\r\n"),
        lambda s: s.replace("\n", "\r"),
        lambda s: s.replace(" ", "\t"),
        lambda s: s.replace("  ", " "),
        lambda s: s.replace("\n", "   \n"),
        lambda s: s.replace("\n", "  # a comment\n"),
        lambda s: s.replace("\n", "\n\n"),
        lambda s: "\ufeff" + s,
        lambda s: s + "\n\n  \n",
        lambda s: s.rstrip(),
        lambda s: s.replace("90", "9.0e+01"),
    ):
        assert change(AMC) + change(ASF) != AMC + ASF
        for amc, asf in ((change(AMC), ASF), (AMC, change(ASF))):
            found = read(tmp_path, amc, asf).positions
            np.testing.assert_array_equal(found, expected, amc + asf)
    asf = ASF.replace("begin\n    id 1", "BEGIN\n    ID 1").replace("0 0 90 XYZ", "0 0 90 xyz")
    np.testing.assert_array_equal(read(tmp_path, asf=asf).positions, expected)


def test_lines_in_any_order_and_frames_from_any_number(tmp_path):
    expected = read(tmp_path).positions
    mixed = AMC.replace("femur 90 0\ntibia 90\n", "tibia 90\nfemur 90 0\n")
    np.testing.assert_array_equal(read(tmp_path, mixed).positions, expected)
    mixed = AMC.replace("root 1 9 0 0 0 0\nfemur 90 0\n", "\nfemur 90 0\n\nroot 1 9 0 0 0 0\n")
    np.testing.assert_array_equal(read(tmp_path, mixed).positions, expected)
    later = AMC.replace("\n1\n", "\n101\n").replace("\n2\n", "\n102\n")
    np.testing.assert_array_equal(read(tmp_path, later).positions, expected)


def test_radians(tmp_path):
    bones = motion_files.cmu()
    values = motion_files.swing(bones, 4)
    found = []
    for angle, degrees in (("deg", True), ("rad", False), ("deg", False)):
        motion_files.write_asf(tmp_path / "a.asf", bones, angle=angle)
        (motion,) = formats.read(motion_files.write_amc(tmp_path / "a.amc", bones, values, degrees))
        found.append(motion.positions)
    np.testing.assert_allclose(found[1], found[0], atol=1e-9)
    np.testing.assert_allclose(found[2], found[0], atol=1e-9)
    content = (tmp_path / "a.amc").read_text()
    assert ":RADIANS\n" in content
    # Without a word in the AMC, the ASF's unit counts.
    motion_files.write_asf(tmp_path / "a.asf", bones, angle="rad")
    (tmp_path / "a.amc").write_text(content.replace(":RADIANS\n", ""))
    (motion,) = formats.read(tmp_path / "a.amc")
    np.testing.assert_allclose(motion.positions, found[0], atol=1e-9)


def test_a_header_may_state_the_rate(tmp_path):
    motion = read(tmp_path, AMC.replace(":DEGREES", ":SAMPLES-PER-SECOND 60\n:DEGREES"))
    assert motion.fps == 60 and motion.notes == ()


def test_what_is_left_out_is_told(tmp_path):
    motion = read(tmp_path, AMC.replace(":DEGREES", ":DEGREES\n:SMOOTHED yes"), ASF + ":mesh\n x\n")
    assert motion.notes[:2] == (
        "Sections are left out: mesh.",
        "The header :SMOOTHED is left out.",
    )


def test_bones_that_the_motion_lacks_keep_their_pose_and_are_told(tmp_path):
    motion = read(tmp_path, re.sub(r"tibia.*\n", "", AMC))
    assert motion.notes[0] == "Bones that the AMC lacks keep their rest pose (1): tibia."
    np.testing.assert_array_equal(
        motion.positions, read(tmp_path, re.sub("tibia.*", "tibia 0", AMC)).positions
    )


def test_latin1_is_read_with_a_note(tmp_path):
    motion = read(tmp_path, asf=ASF.replace("made by", "Jürgen's").encode("latin-1"))
    assert motion.notes[0] == "The file is not UTF-8 and is read as Latin-1."


# ---------------------------------------------------------------------------- the pair


@pytest.mark.parametrize(
    ("amc", "others", "expected"),
    [
        ("11_01.amc", ("11.asf", "12.asf"), "11.asf"),
        ("11_01.amc", ("11.asf", "11_01.asf"), "11_01.asf"),
        ("HDM_bd_01-01_01_120.amc", ("HDM_bd.asf", "HDM.asf", "HDM_bk.asf"), "HDM_bd.asf"),
        ("11_01.AMC", ("11.ASF", "1.asf"), "11.ASF"),
        ("walk.amc", ("skeleton.asf",), "skeleton.asf"),
        (".amc", ("skeleton.asf",), "skeleton.asf"),
    ],
)
def test_the_skeleton_is_found_beside_the_motion(amc, others, expected, tmp_path):
    (tmp_path / amc).write_text(AMC)
    for other in others:
        (tmp_path / other).write_text(ASF if other == expected else "another")
    (motion,) = formats.read(tmp_path / amc)
    assert motion.num_frames == 2 and motion.name == (amc[:-4] or "amc")


@pytest.mark.parametrize(
    ("others", "there"), [((), "none"), (("12.asf", "13.asf"), "2 others: 12.asf, 13.asf")]
)
def test_a_missing_skeleton_is_told_with_what_was_looked_for(others, there, tmp_path):
    (tmp_path / "11_01.amc").write_text(AMC)
    for other in others:
        (tmp_path / other).write_text(ASF)
    message = (
        f"11_01.amc: its skeleton, an .asf file, is missing: looked for 11_01.asf or 11.asf in "
        f"{tmp_path}, which has {there}; expected the .asf file that belongs to it"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        formats.read(tmp_path / "11_01.amc")


def test_a_skeleton_alone_is_no_motion(tmp_path):
    (tmp_path / "11.asf").write_text(ASF)
    with pytest.raises(
        ValueError, match=r"11\.asf has no motion: it is the skeleton of .amc files"
    ):
        formats.read(tmp_path / "11.asf")
    (tmp_path / "11_01.amc").write_text(AMC)
    assert formats.find(tmp_path) == [tmp_path / "11_01.amc"]


# ---------------------------------------------------------------------------- what is refused

SPOILED_AMC = {
    "another kind": (AMC, "<html>", 1, "'<html>'; expected a bone of leg.asf or the number of a"),
    "header alone": (AMC[AMC.index("1\n"):], "", 4, "the end of the file; expected the number of"),
    "no number": ("1\nroot", "root", 4, "'root 0 9 0 0 0 0'; expected the number of a frame"),
    "unknown bone": ("femur 90 0", "humerus 90 0", 10,
                     "'humerus'; expected a bone of leg.asf or the number of a frame"),
    "too few values": ("femur 90 0", "femur 90", 10,
                       "1 values of 'femur'; expected 2, as in leg.asf (rx rz)"),
    "too many values": ("tibia 90", "tibia 90 1", 11, "2 values of 'tibia'; expected 1, as in leg"),
    "values of a bone without dof": ("tibia 90", "tibia 90\nhip 1", 12,
                                     "1 values of 'hip'; expected 0, as in leg.asf (none)"),
    "values of a bone without dof in all frames": ("tibia", "hip 0\ntibia", 7,
                                                   "1 values of 'hip'; expected 0, as in leg.asf"),
    "no root": ("root 1 9 0 0 0 0\n", "", 8, "0 lines of 'root' in the frame that begins here"),
    "a bone is missing": ("femur 90 0\n", "", 8,
                          "0 lines of 'femur' in the frame that begins here; expected one in"),
    "a bone twice": ("femur 90 0", "femur 90 0\nfemur 90 0", 8, "2 lines of 'femur' in the frame"),
    "cut in a frame": ("tibia 90\n", "", 8, "0 lines of 'tibia' in the frame that begins here"),
    "cut in a line": ("root 1 9 0 0 0 0\nfemur 90 0\ntibia 90\n", "root 1 9", 9,
                      "2 values of 'root'; expected 6, as in leg.asf (tx ty tz rx ry rz)"),
    "a frame is missing": ("\n2\n", "\n3\n", 8, "frame 3; expected 2"),
    "a frame twice": ("\n2\n", "\n1\n", 8, "frame 1; expected 2"),
    "half a frame": ("\n1\n", "\n0.5\n", 4, "frame 0.5; expected a whole number"),
    "values without a name": ("femur 90 0", "90 0", 10,
                              "2 numbers without a bone's name; expected a name and its values"),
    "nan": ("femur 90 0", "femur nan 0", 10, "'nan'; expected a finite number"),
    "infinite": ("femur 90 0", "femur 1e999 0", 10, "'1e999'; expected a finite number"),
    "a word": ("femur 90 0", "femur ninety 0", 10, "'ninety'; expected a finite number"),
    "decimal comma": ("femur 90 0", "femur 9,0 0", 10, "'9,0'; expected a finite number"),
    "a rate of none": (":DEGREES", ":SAMPLES-PER-SECOND fast", 3,
                       "':SAMPLES-PER-SECOND fast'; expected a rate above 0, up to 10000"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILED_AMC)
def test_spoiled_motions_are_told_with_the_line(what, tmp_path):
    old, new, line, message = SPOILED_AMC[what]
    assert old in AMC
    with pytest.raises(ValueError, match=re.escape(f"leg.amc, line {line}: {message}")):
        read(tmp_path, AMC.replace(old, new))


SPOILED_ASF = {
    "empty": (ASF, "", 1, "the end of the file without :root; expected :root"),
    "another kind": (ASF, "\nhello", 2, "'hello'; expected a section such as :version or :units"),
    "no bone data": (ASF[ASF.index(":bonedata"):], "", 14, "the end of the file without :bonedata"),
    "cut": (ASF[ASF.index(":hierarchy"):], "", 41, "the end of the file without :hierarchy"),
    "two roots": (":bonedata", ":root\n:bonedata", 15, "a second section :root; expected one"),
    "no order": ("  order TX TY TZ RX RY RZ\n", "", 10,
                 ":root without order; expected order TX TY TZ RX RY RZ"),
    "a channel twice": ("order TX TY TZ RX RY RZ", "order TX TX TZ RX RY RZ", 11,
                        "'tx' in order; expected each of tx, ty, tz, rx, ry, rz at most once"),
    "length of zero": ("length 0.45", "length 0", 6, "length 0; expected a positive number"),
    "length of a word": ("length 0.45", "length metre", 6,
                         "'length metre'; expected length and 1 finite number"),
    "unknown angle": ("angle deg", "angle turns", 7, "angle 'turns'; expected angle deg or angle"),
    "position of two": ("position 0 0 0", "position 0 0", 13,
                        "'position 0 0'; expected position and 3 finite numbers"),
    "no name": ("    name femur\n", "", 31, "a bone (of line 23) without name; expected name"),
    "no length": ("    length 4\n", "", 31, "a bone (of line 23) without length; expected length"),
    "a length of nan": ("length 4", "length nan", 27, "'length nan'; expected length and 1 finite"),
    "direction of two": ("direction 0 -1 0", "direction 0 -1", 26,
                         "'direction 0 -1'; expected direction and 3 finite numbers"),
    "no direction": ("direction 0 -1 0", "direction 0 0 0", 26,
                     "direction 0 0 0; expected a direction other than 0 0 0"),
    "axis without order": ("axis 0 0 90 XYZ", "axis 0 0 90", 28,
                           "'axis 0 0 90'; expected an order of axes such as XYZ at its end"),
    "axis of no axes": ("axis 0 0 90 XYZ", "axis 0 0 90 XYX", 28, "'axis 0 0 90 XYX'; expected an"),
    "a bone that grows": ("dof rx rz", "dof rx l", 29,
                          "'l' in dof; expected each of rx, ry, rz at most once"),
    "unknown word": ("    id 2", "    colour red", 24, "'colour'; expected one of id, name"),
    "no end": ("  end\n  begin\n    id 2", "  begin\n    id 2", 22,
               "begin; expected end of the bone of line 16 before it"),
    "no last end": ("  end\n:hierarchy", ":hierarchy", 40, "no end; expected end of the bone of"),
    "no begin": ("  begin\n    id 2", "    id 2", 23, "'id 2'; expected begin"),
    "two of a name": ("name tibia", "name femur", 33, "a second bone 'femur'; expected distinct"),
    "unknown child": ("femur tibia", "femur toes", 46,
                      "'toes' in the hierarchy; expected root, or a bone of :bonedata"),
    "unknown parent": ("femur tibia", "shin tibia", 46, "'shin' in the hierarchy; expected root"),
    "two parents": ("femur tibia", "femur tibia hip", 46,
                    "'hip' below 'femur'; expected one parent of each; it has 'root'"),
    "an orphan": ("    femur tibia\n", "", 33,
                  "bone 'tibia', which the hierarchy lacks; expected every bone below root"),
    "a circle": ("root hip\n    hip femur\n    femur tibia",
                 "root hip\n    tibia femur\n    femur tibia", 42,
                 "a hierarchy in which the parents form a circle; expected every bone below root"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILED_ASF)
def test_spoiled_skeletons_are_told_with_the_line(what, tmp_path):
    old, new, line, message = SPOILED_ASF[what]
    assert old in ASF
    with pytest.raises(ValueError, match=re.escape(f"leg.asf, line {line}: {message}")):
        read(tmp_path, asf=ASF.replace(old, new))


def test_bones_without_channels_cannot_ask_for_more_memory_than_the_file_warrants(tmp_path):
    bones = (
        Joint("root", -1, (0, 0, 0), "x"),
        *(Joint(f"b{i}", 0, (0, 1, 0), "") for i in range(500)),
    )
    motion_files.write_asf(tmp_path / "a.asf", bones)
    frames = "".join(f"{i}\nroot 0\n" for i in range(1, 60_001))
    (tmp_path / "a.amc").write_text(frames)
    with pytest.raises(ValueError, match=r"a\.amc: 60,000 frames .* take 721,440,000 bytes"):
        formats.read(tmp_path / "a.amc")


# ---------------------------------------------------------------------------- real files


def test_a_real_file(real_files):
    (motion,) = formats.read(real_files / "asfamc" / "11_01.amc")
    assert motion.positions.shape == (597, 1, 38, 3) and len(motion.ends) == 7
    assert motion.fps is None and motion.unit_in_metres == pytest.approx(0.0564444, abs=1e-7)
    assert motion.joint_names[:4] == ("root", "lhipjoint", "lfemur", "ltibia")
    assert motion.notes == ("The file states no rate; CMU's is 120 frames per second.",)


def plain_kinematics(asf, amc, every):
    """{bone: its end in some frames}, line by line, by SciPy's rotations."""
    bones, parents, name = {}, {}, None
    for line in map(str.split, asf.read_text().splitlines()):
        if line[:1] == ["name"]:
            name = line[1]
            bones[name] = {"dof": []}
        elif line[:1] in (["direction"], ["length"], ["axis"]) and name in bones:
            bones[name][line[0]] = np.array(line[1:4], float)
        elif line[:1] == ["dof"]:
            bones[name]["dof"] = [channel[1] for channel in line[1:]]
        elif len(line) > 1 and line[0] in (*bones, "root"):
            parents.update(dict.fromkeys(line[1:], line[0]))
    blocks = re.split(r"(?m)^\d+\n", amc.read_text().split(":DEGREES\n")[1])[1:]
    for block in blocks[::every]:
        values = {line[0]: line[1:] for line in map(str.split, block.splitlines())}
        root = np.array(values["root"], float)
        ends = {"root": root[:3]}
        turns = {"root": Rotation.from_euler("xyz", root[3:], degrees=True)}

        def end(name, ends=ends, turns=turns, values=values):
            if name not in ends:
                bone, above = bones[name], end(parents[name])
                own = Rotation.from_euler("xyz", bone["axis"], degrees=True)
                angles = np.array(values.get(name, []), float)
                if len(angles):
                    moved = Rotation.from_euler("".join(bone["dof"]), angles, degrees=True)
                    own = own * moved * own.inv()
                else:
                    own = Rotation.identity()
                turns[name] = turns[parents[name]] * own
                ends[name] = above + turns[name].apply(bone["direction"] * bone["length"])
            return ends[name]

        yield {name: end(name) for name in ("root", *bones)}


def test_kinematics_are_those_of_a_plain_calculation(real_files):
    asf, amc = real_files / "asfamc" / "11.asf", real_files / "asfamc" / "11_01.amc"
    (motion,) = formats.read(amc)
    names = motion.joint_names
    for frame, expected in enumerate(plain_kinematics(asf, amc, every=60)):
        assert len(expected) == 31
        for name, place in expected.items():
            joint = names.index(name)
            children = [j for j, parent in enumerate(motion.parents) if parent == joint]
            found = motion.positions[60 * frame, 0, [joint] if name == "root" else children]
            np.testing.assert_allclose(found, np.broadcast_to(place, found.shape), atol=1e-4)


def test_bvh_and_amc_of_cmu_have_the_same_body(real_files):
    """The same tree, and heights that one unit fits."""
    (amc,) = formats.read(real_files / "asfamc" / "11_01.amc")
    (bvh,) = formats.read(real_files / "bvh" / "cmu_cgspeed_12_01_walk.bvh")

    def tree(motion, joint=0):
        children = [j for j, parent in enumerate(motion.parents) if parent == joint]
        return sorted(tree(motion, child) for child in children)

    assert tree(amc) == tree(bvh)
    heights = [anatomy.understand(motion).height for motion in (amc, bvh)]
    assert all(1.45 < height < 1.9 for height in heights), heights
    assert anatomy.understand(bvh).unit_in_metres == pytest.approx(amc.unit_in_metres, rel=1e-4)


def test_a_written_body_is_one_of_cmu(tmp_path):
    bones = motion_files.cmu()
    motion_files.write_asf(tmp_path / "11.asf", bones)
    values = motion_files.swing(bones, 5)
    (motion,) = formats.read(motion_files.write_amc(tmp_path / "11_01.amc", bones, values))
    body = anatomy.understand(motion)
    assert (body.kind, body.convention, body.up) == ("human", "CMU (ASF)", "y")
    assert len(motion.joint_names) == 38 and 1.5 < body.height < 1.9

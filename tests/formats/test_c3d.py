"""C3D: whose markers, which of them are markers, and what the file states."""

import struct

import c3d_files
import numpy as np
import pytest

from motionalign import formats

pytest.importorskip("ezc3d")

LABELS = ["LASI", "RASI", "LKNE"]


def points(frames=4, count=3):
    rng = np.random.default_rng(0)
    return rng.uniform(100, 1500, (frames, count, 3)).astype(np.float32).astype(np.float64)


def read(folder, labels=LABELS, values=None, **options):
    values = points(count=len(labels)) if values is None else values
    return formats.read(c3d_files.write(folder / "walk.c3d", values, labels, **options))


def point(**values):
    return {"parameters": {"POINT": values}}


def test_positions_names_and_what_is_stated(tmp_path):
    values = points()
    [motion] = read(tmp_path, values=values, **point(Y_SCREEN="+Z", X_SCREEN="+X"))
    np.testing.assert_array_equal(motion.positions, values[:, None])
    assert (motion.name, motion.format) == ("walk", "C3D")
    assert motion.joint_names == tuple(LABELS)
    assert (motion.fps, motion.unit_in_metres, motion.up) == (100.0, 0.001, "z")
    assert (motion.parents, motion.rest, motion.persons) == (None, None, ("",))
    assert motion.notes == ()


@pytest.mark.parametrize("processor", [c3d_files.INTEL, c3d_files.DEC])
@pytest.mark.parametrize("integers", [False, True])
def test_number_formats(tmp_path, processor, integers):
    values = points()
    [motion] = read(tmp_path, values=values, processor=processor, integers=integers)
    atol = 0.03 if integers else 1e-3
    np.testing.assert_allclose(motion.positions[:, 0], values, atol=atol)
    assert motion.fps == 100.0


def test_a_file_of_ezc3d(tmp_path):
    import ezc3d

    content = ezc3d.c3d()
    values = points()
    content["parameters"]["POINT"]["RATE"]["value"] = [50.0]
    content["parameters"]["POINT"]["LABELS"]["value"] = LABELS
    content["parameters"]["POINT"]["UNITS"]["value"] = ["m"]
    content["data"]["points"] = np.concatenate(
        [values.transpose(2, 1, 0), np.ones((1, 3, len(values)))]
    )
    content.write(str(tmp_path / "own.c3d"))
    [motion] = formats.read(tmp_path / "own.c3d")
    np.testing.assert_allclose(motion.positions[:, 0], values)
    assert (motion.fps, motion.unit_in_metres) == (50.0, 1.0)


def test_what_was_not_measured_is_nan(tmp_path):
    values, residuals = points(), np.zeros((4, 3))
    residuals[1, 0] = -1
    values[2, 1] = np.nan
    values[3, 2] = 0
    [motion] = read(tmp_path, values=values, residuals=residuals)
    gone = np.isnan(motion.positions[:, 0]).all(-1)
    assert sorted(map(tuple, np.argwhere(gone))) == [(1, 0), (2, 1), (3, 2)]
    assert not np.isnan(motion.positions[:, 0][~gone]).any()
    assert motion.notes == ("1 positions at exactly (0, 0, 0) are taken as not measured.",)


def test_markers_that_are_never_measured_are_told(tmp_path):
    residuals = np.zeros((4, 3))
    residuals[:, 1] = -1
    [motion] = read(tmp_path, residuals=residuals)
    assert motion.joint_names == tuple(LABELS)
    assert motion.notes == ("1 markers are measured in no frame: RASI.",)


def test_more_than_255_labels(tmp_path):
    labels = [f"M{i}" for i in range(600)]
    [motion] = read(tmp_path, labels)
    assert motion.joint_names == tuple(labels)


@pytest.mark.parametrize(
    ("unit", "metres"),
    [("mm", 0.001), ("cm", 0.01), ("M", 1.0), ("Millimeters", 0.001), ("in", 0.0254)],
)
def test_units(tmp_path, unit, metres):
    [motion] = read(tmp_path, **point(UNITS=unit))
    assert motion.unit_in_metres == metres


@pytest.mark.parametrize("unit", ["", "furlong", None, 3])
def test_an_unknown_unit_is_not_guessed(tmp_path, unit):
    [motion] = read(tmp_path, **point(UNITS=unit))
    assert motion.unit_in_metres is None
    assert "no unit of length" in motion.notes[0]


@pytest.mark.parametrize(
    ("axis", "up"), [("+Z", "z"), ("Y", "y"), ("+X", "x"), ("-Z", None), ("?", None)]
)
def test_the_axis_up(tmp_path, axis, up):
    [motion] = read(tmp_path, **point(Y_SCREEN=axis))
    assert motion.up == up
    assert len(motion.notes) == (up is None)


def test_the_rate_of_the_header_where_the_parameters_have_none(tmp_path):
    assert read(tmp_path, rate=120.0, **point(RATE=None))[0].fps == 120.0
    [motion] = read(tmp_path, rate=0.0)
    assert motion.fps is None
    assert motion.notes == ("The file states no frame rate.",)


def test_one_subject_gives_the_person_its_name(tmp_path):
    [motion] = read(tmp_path, [f"Anna:{name}" for name in LABELS] + ["wand"])
    assert motion.persons == ("Anna",)
    assert motion.joint_names == (*LABELS, "wand")


def test_a_name_that_would_occur_twice_keeps_its_subject(tmp_path):
    [motion] = read(tmp_path, ["Anna:LASI", "LASI"])
    assert motion.joint_names == ("Anna:LASI", "LASI")


def test_the_name_in_the_parameters_is_the_person(tmp_path):
    [motion] = read(tmp_path, parameters={"SUBJECTS": {"NAMES": ["Patient 7"]}})
    assert motion.persons == ("Patient 7",)


def test_subjects_with_the_same_labels_are_persons(tmp_path):
    labels = [f"{who}:{name}" for who in ("Anna", "Ben") for name in LABELS]
    values = points(count=6)
    [motion] = read(tmp_path, labels, values)
    assert (motion.persons, motion.joint_names) == (("Anna", "Ben"), tuple(LABELS))
    np.testing.assert_array_equal(motion.positions, values.reshape(4, 2, 3, 3))


def test_a_subject_that_lacks_a_few_labels_has_gaps(tmp_path):
    names = [f"M{i}" for i in range(10)]
    labels = [f"Anna:{name}" for name in names] + [f"Ben:{name}" for name in names[1:]]
    [motion] = read(tmp_path, labels)
    assert motion.persons == ("Anna", "Ben")
    assert np.isnan(motion.positions[:, 1, 0]).all()
    assert np.isfinite(motion.positions).sum() == 4 * 19 * 3


def test_subjects_with_other_labels_are_takes_of_their_own(tmp_path):
    labels = [f"{who}:{name}" for who in ("Anna", "Ben") for name in LABELS]
    two, box = read(tmp_path, [*labels, "Box:corner1", "Box:corner2"])
    assert (two.name, two.persons, two.joint_names) == (
        "walk Anna+Ben",
        ("Anna", "Ben"),
        tuple(LABELS),
    )
    assert (box.name, box.persons, box.joint_names) == (
        "walk Box",
        ("Box",),
        ("corner1", "corner2"),
    )


def test_repeated_labels_are_numbered(tmp_path):
    [motion] = read(tmp_path, ["RKNE", "RANK", "RKNE"])
    assert motion.joint_names == ("RKNE", "RANK", "RKNE.2")
    assert motion.notes == ("1 labels occur before; they are numbered: RKNE.2.",)


def test_repeated_labels_are_told_apart_by_what_the_file_says(tmp_path):
    texts = ["R.Knee", "R.Knee.Medial", "RANK"]
    [motion] = read(tmp_path, ["RKNE", "RKNE", "RANK"], **point(DESCRIPTIONS=texts))
    assert motion.notes == ("1 labels occur before; they are numbered: RKNE.2 (R.Knee.Medial).",)
    [motion] = read(tmp_path, ["M"] * 9, **point(DESCRIPTIONS=["M"]))
    assert motion.notes == (
        "8 labels occur before; they are numbered: M.2, M.3, M.4, M.5, M.6, M.7 and others.",
    )


def test_computed_values_are_left_out_and_counted(tmp_path):
    labels = [*LABELS, "LHipAngles", "LHipMoment", "Load", "Anna:Odd"]
    [motion] = read(tmp_path, labels, **point(FORCES=["Load"], POWERS=["Odd"]))
    assert motion.joint_names == tuple(LABELS)
    assert motion.notes == (
        "4 computed values such as LHipAngles are left out: they are no positions.",
    )


@pytest.mark.parametrize("label", ["*12", "U012", "Anna:*3", "Unlabeled 7", "", "uname*5", "C_1"])
def test_unlabelled_points_are_left_out_and_counted(tmp_path, label):
    [motion] = read(tmp_path, [*LABELS, label])
    assert motion.joint_names == tuple(LABELS)
    assert motion.notes == ("1 points without a label are left out.",)


def test_fewer_labels_than_points(tmp_path):
    [motion] = read(tmp_path, LABELS, points(count=5))
    assert motion.joint_names == tuple(LABELS)
    assert motion.notes == ("2 points without a label are left out.",)


# ---------------------------------------------------------------------------- spoiled files


def cut(data, share):
    return data[: int(len(data) * share)]


def put(data, at, form, *values):
    packed = struct.pack(form, *values)
    return data[:at] + packed + data[at + len(packed) :]


GOOD = c3d_files.content(points(60), LABELS)

SPOILED = {
    "empty": (b"", "is empty: it has 0 bytes"),
    "one byte": (b"\2", "second byte is no more"),
    "text": (b"HIERARCHY\n" * 200, "second byte is 0x49; expected 0x50"),
    "only a header": (GOOD[:512], "it has 512 bytes; a header and parameters have 1,024 or more"),
    "half of the header": (GOOD[:200], "it has 200 bytes"),
    "parameters only": (GOOD[:1024], "promises 60 frames of 3 points"),
    "half": (cut(GOOD, 0.5), "promises 60 frames of 3 points and 0 analog values"),
    "one value missing": (GOOD[:-4], "promises 60 frames"),
    "many points": (put(GOOD, 2, "<H", 65535), "promises 60 frames of 65535 points"),
    "many analogs": (put(GOOD, 4, "<H", 65535), "65535 analog values"),
    "many frames": (put(GOOD, 6, "<2H", 1, 65534), "promises 65534 frames"),
    "data beyond the end": (put(GOOD, 16, "<H", 60000), "from block 60000 on"),
    "data in the header": (put(GOOD, 16, "<H", 0), "from block 0 on"),
    "parameters beyond the end": (put(GOOD, 0, "B", 250), "parameters should be in block 250"),
    "parameters nowhere": (put(GOOD, 0, "B", 0), "parameters should be in block 0"),
    "another processor": (
        put(GOOD, 515, "B", 99),
        "processor type is 99; expected 84 (Intel) or 85 (DEC)",
    ),
    "MIPS": (
        c3d_files.content(points(), LABELS, processor=c3d_files.MIPS),
        "has the numbers of SGI's MIPS processors, which ezc3d does not read; save it",
    ),
    "no points": (c3d_files.content(points(4, 0), []), "has no points"),
    "no frames": (c3d_files.content(points(0), LABELS), "no points"),
    "only computed": (
        c3d_files.content(points(), ["LHipAngles", "LHipForce", "LHipPower"]),
        "no labelled markers. 3 computed values such as LHipAngles",
    ),
    "no labels": (c3d_files.content(points(), []), "no labelled markers. 3 points without"),
    "nothing measured": (
        c3d_files.content(points(), LABELS, residuals=-np.ones((4, 3))),
        "none of its 3 markers",
    ),
    "everything NaN": (c3d_files.content(points() * np.nan, LABELS), "none of its 3 markers"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_files_say_what_is_wrong(tmp_path, name):
    data, reason = SPOILED[name]
    path = tmp_path / "bad.c3d"
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        formats.read(path)
    assert str(error.value).startswith(str(path))
    assert reason in str(error.value)


def test_spoiled_parameters_end_in_one_of_two_ways(tmp_path):
    """Any byte of the parameters may be wrong: a take, or a ValueError that names the file."""
    rng = np.random.default_rng(1)
    path = tmp_path / "bad.c3d"
    for _ in range(60):
        data = bytearray(GOOD)
        for _ in range(3):
            data[rng.integers(512, 1200)] = rng.integers(256)
        path.write_bytes(data)
        try:
            motions = formats.read(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert all(motion.positions.size for motion in motions)


def test_what_the_library_says_is_told_without_its_options(tmp_path, monkeypatch):
    import ezc3d

    from motionalign.formats import c3d

    def read(_):
        raise OSError("The format is not standard. If you want to ignore this error, set x to true")

    monkeypatch.setattr(ezc3d, "c3d", read)
    said = r"a\.c3d: ezc3d cannot read this C3D file: The format is not standard\. Its parameters"
    with pytest.raises(ValueError, match=said):
        c3d.parse(c3d_files.write(tmp_path / "a.c3d", points(), LABELS))


def test_memory_that_the_library_does_not_get_is_told_as_such(tmp_path, monkeypatch):
    import ezc3d

    from motionalign.formats import c3d

    def read(_):
        raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr(ezc3d, "c3d", read)
    with pytest.raises(MemoryError):
        c3d.parse(c3d_files.write(tmp_path / "walk.c3d", points(), LABELS))


def test_without_the_library(tmp_path, monkeypatch):
    from motionalign.formats import c3d

    monkeypatch.setitem(__import__("sys").modules, "ezc3d", None)
    path = c3d_files.write(tmp_path / "walk.c3d", points(), LABELS)
    with pytest.raises(ValueError, match=r"walk\.c3d: reading C3D needs ezc3d: pip install"):
        c3d.parse(path)


# ---------------------------------------------------------------------------- real files


def test_gait_of_motion_analysis(real_files):
    [motion] = formats.read(real_files / "c3d" / "Gait_BMC.c3d")
    assert motion.positions.shape == (487, 1, 33, 3)
    assert (motion.fps, motion.unit_in_metres, motion.up) == (100.0, 0.001, "z")
    assert motion.joint_names[:3] == ("RSHO", "ROFF", "RELB")
    assert motion.joint_names[22:26] == ("RKNE.2", "RANK.2", "LKNE.2", "LANK.2")  # medial
    assert "RKNE.2 (R.Knee.Medial), RANK.2 (R.Ankle.Medial)" in motion.notes[0]
    there = np.isfinite(motion.positions).all(-1)[:, 0]
    assert there.sum() == 487 * 33 - 9682
    at = motion.joint_names.index
    z = np.nanmean(motion.positions[:, 0, :, 2], 0)
    assert z[at("RANK")] < z[at("RKNE")] < z[at("RASI")] < z[at("RSHO")]
    assert 1.2 < z[at("RSHO")] / 1000 < 1.7


def test_force_plates_of_qualisys(real_files):
    [motion] = formats.read(real_files / "c3d" / "FP_Type3.c3d")
    assert motion.positions.shape == (2, 1, 34, 3)
    assert (motion.fps, motion.unit_in_metres, motion.up) == (250.0, 0.001, None)
    assert "POINT:Y_SCREEN is '-Z'" in motion.notes[0]  # its floor is at z = 0, below
    at = motion.joint_names.index
    assert motion.positions[0, 0, at("LASIS"), 2] == pytest.approx(1153.147)

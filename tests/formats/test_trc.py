"""TRC files: dialects, gaps and spoiled files."""

import mutations
import numpy as np
import pytest

from motionalign import formats

NAMES = ("LASI", "RASI", "C7")


def positions(frames=4, seed=0):
    return np.random.default_rng(seed).normal(0, 900, (frames, len(NAMES), 3)).round(4)


def write(path, values, mark="\t", unit="mm", names=NAMES, rate=100, end="\n", blank=True,
          times=None, stated=None, trailing="", folder=""):  # fmt: skip
    """A TRC file; NaN is a blank cell."""
    times = np.arange(len(values)) / rate if times is None else times
    stated = (len(values), len(names)) if stated is None else stated
    lines = [
        mark.join(["PathFileType", "4", "(X/Y/Z)", folder + "a b.trc"]),
        mark.join(["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate"]),
        mark.join(map(str, [rate, rate, *stated, unit, rate])),
        mark.join(["Frame#", "Time", *(f"{name}{2 * mark}" for name in names)]),
        mark.join(["", "", *(f"{c}{i + 1}" for i in range(len(names)) for c in "XYZ")]),
    ]
    lines += [""] * blank
    for i, (row, seconds) in enumerate(zip(values, times)):
        cells = ["" if np.isnan(each) else str(each) for each in row.ravel()]
        lines.append(mark.join([str(i + 1), f"{seconds:.5f}", *cells]) + trailing)
    path.write_bytes((end.join(lines) + end).encode("latin-1"))
    return path


@pytest.mark.parametrize("mark", ["\t", ",", ";", " \t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("blank", [True, False])
def test_markers_are_as_written(tmp_path, mark, end, blank):
    values = positions()
    values[1, 0] = values[3, 2] = np.nan
    path = write(tmp_path / "walk.trc", values, mark, end=end, blank=blank, folder="C:\\Données\\")
    (motion,) = formats.read(path)
    assert (motion.format, motion.name, motion.joint_names) == ("TRC", "walk", NAMES)
    np.testing.assert_array_equal(motion.positions, values[:, None])
    assert (motion.fps, motion.unit_in_metres, motion.up) == (100, 0.001, None)
    assert motion.parents is None
    assert motion.notes == ("The file is not UTF-8 and is read as Latin-1.",)


def test_delimiters_at_the_end_of_a_row_are_no_values(tmp_path):
    values = positions()
    values[0, 2] = np.nan
    (motion,) = formats.read(write(tmp_path / "a.trc", values, trailing="\t\t"))
    np.testing.assert_array_equal(motion.positions, values[:, None])


def test_values_of_the_header_may_stand_two_delimiters_apart(tmp_path):
    path = write(tmp_path / "a.trc", positions(), rate=120)
    lines = path.read_text().split("\n")
    lines[2] = lines[2].replace("\t", "\t\t")
    path.write_text("\n".join(lines))
    (motion,) = formats.read(path)
    assert (motion.fps, motion.unit_in_metres, motion.notes) == (120, 0.001, ())


def test_virtual_markers_without_columns_are_left_out(tmp_path):
    values = positions()
    path = write(tmp_path / "a.trc", values)
    lines = path.read_text().split("\n")
    lines[3] += "V_Mid_ASIS\t\t\tV_Knee"
    path.write_text("\n".join(lines))
    (motion,) = formats.read(path)
    assert motion.joint_names == NAMES
    assert motion.notes == ("2 virtual markers have a name and no positions.",)
    np.testing.assert_array_equal(motion.positions, values[:, None])
    lines[3] = lines[3].replace("V_Knee", "Knee")
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"line 5: 9 axes for the 5 markers of line 4"):
        formats.read(path)


def test_markers_without_a_name_are_left_out(tmp_path):
    values = positions()
    path = write(tmp_path / "a.trc", values)
    lines = path.read_text().split("\n")
    lines[7] += "\t1.5\t2.5\t3.5\t"
    lines[8] += "\t\t\t\t4.5\t5.5\t6.5\t"
    path.write_text("\n".join(lines))
    (motion,) = formats.read(path)
    np.testing.assert_array_equal(motion.positions, values[:, None])
    assert motion.notes == ("2 markers without a name are left out.",)
    lines[7] = lines[7].replace("\t3.5", "")
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"line 8: 14 values, expected 11"):
        formats.read(path)


def test_a_file_without_markers_is_told(tmp_path):
    path = write(tmp_path / "a.trc", np.zeros((2, 0, 3)), names=())
    with pytest.raises(ValueError, match=r"has no markers: line 4 names none"):
        formats.read(path)


def test_white_space_alone_separates(tmp_path):
    values = positions()
    path = write(tmp_path / "a.trc", values)
    path.write_bytes(path.read_bytes().replace(b"\t", b"  "))
    (motion,) = formats.read(path)
    np.testing.assert_array_equal(motion.positions, values[:, None])


@pytest.mark.parametrize(
    ("unit", "metres"),
    [("m", 1), ("Meters", 1), ("cm", 0.01), ("mm", 0.001), ("inches", 0.0254), ("", None)],
)
def test_units(tmp_path, unit, metres):
    (motion,) = formats.read(write(tmp_path / "a.trc", positions(), unit=unit))
    assert motion.unit_in_metres == metres


def test_what_is_not_as_stated_is_noted(tmp_path):
    values = positions(5)
    values[:, 1] = np.nan
    values[2, 0] = 0
    (motion,) = formats.read(write(tmp_path / "a.trc", values, stated=(652, 51)))
    assert motion.joint_names == ("LASI", "C7")
    assert np.isnan(motion.positions[2, 0, 0]).all()
    assert motion.notes == (
        "The header states 652 frames; 5 are there.",
        "The header states 51 markers; 3 are there.",
        "1 markers without any position are left out: RASI.",
        "1 positions are exactly 0, 0, 0, as some programs write gaps.",
    )


def test_a_marker_that_is_the_origin_is_kept(tmp_path):
    values = positions()
    values[:, 0] = 0
    (motion,) = formats.read(write(tmp_path / "a.trc", values))
    np.testing.assert_array_equal(motion.positions, values[:, None])


def test_times_decide_the_rate(tmp_path):
    values = positions(5)
    (motion,) = formats.read(write(tmp_path / "a.trc", values, times=np.arange(5) / 50))
    assert motion.fps == 50
    assert motion.notes == (
        "The header states 100 frames a second, the times 50; the times are taken.",
    )
    times = np.array([0, 1, 2, 7, 8]) / 100
    (motion,) = formats.read(write(tmp_path / "a.trc", values, times=times))
    assert motion.fps == 100
    assert motion.notes == ("The times jump in 1 places, where frames are missing.",)


def spoil(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "nothing", r"a\.trc, line 1: 'nothing'; expected PathFileType"),
        (lambda t: "", r"a\.trc is empty: it has 0 bytes"),
        (lambda t: "PathFileType\n", r"ends after line 1; expected 5 lines"),
        (lambda t: t[:-20], r"line 10: \d values, expected 11\. The file ends too early"),
        (lambda t: spoil(t, "\nFrame#", "\nX"), r"line 4: 'X'; expected Frame#, Time"),
        (lambda t: spoil(t, "C7", ""), r"line 5: 9 axes for the 2 markers of line 4"),
        (lambda t: spoil(t, "Y2", "Z2"), r"line 5: 'z2' among 9 axes for the 3 markers"),
        (lambda t: spoil(t, "\n1\t", "\nx\t"), r"line 7: column 1 is 'x'; expected a finite"),
        (lambda t: spoil(t, "\n1\t", "\n1e999\t"), r"line 7: column 1 is '1e999'; expected at"),
        (lambda t: spoil(t, "\n100\t", "\n-1\t"), r"line 3: DataRate is '-1'; expected a positive"),
        (lambda t: spoil(t, "mm", "miles"), r"line 3: Units is 'miles'; expected m, cm, mm"),
        (lambda t: "\n".join(t.split("\n")[:6]), r"ends after line 5; expected 5 lines and rows"),
    ],
)  # fmt: skip
def test_spoiled_files_are_refused_with_their_line(tmp_path, change, message):
    path = write(tmp_path / "a.trc", positions())
    path.write_text(change(path.read_text("latin-1")), "latin-1")
    with pytest.raises(ValueError, match=message):
        formats.read(path)


def test_markers_without_any_position_are_no_motion(tmp_path):
    with pytest.raises(ValueError, match="no marker has a position in any of the 4 frames"):
        formats.read(write(tmp_path / "a.trc", np.full((4, 3, 3), np.nan)))


def test_a_real_file(real_files):
    """Values read off by hand: an arm, the trunk, and a box that is moved."""
    (motion,) = formats.read(real_files / "trc" / "markers.trc")
    assert motion.positions.shape == (93, 1, 51, 3)
    assert (motion.fps, motion.unit_in_metres, motion.up) == (100, 0.001, None)
    assert motion.joint_names[:4] == ("ASISl", "ASISr", "PSISl", "PSISr")
    assert motion.joint_names[-1] == "boite_arriere_gauche"
    np.testing.assert_array_equal(motion.positions[0, 0, 0], [733.7041, 80.9832, 191.8668])
    np.testing.assert_array_equal(motion.positions[2, 0, -1], [346.7749, -76.0198, 229.8624])
    assert motion.notes == ("The header states 652 frames; 93 are there.",)


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    path = tmp_path / "a.trc"
    write(path, positions(12))
    assert 20 < mutations.refusals(path) < 100

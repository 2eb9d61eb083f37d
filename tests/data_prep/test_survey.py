import shutil

import numpy as np
import pytest
from bodies import body

from data_prep.readers import Clips
from data_prep.readers.humanml3d import HumanML3D
from data_prep.readers.kit_ml import KitML
from data_prep.readers.synthetic.generate import SyntheticClip
from data_prep.survey import survey


def look(published, **options):
    return survey(HumanML3D(published.folder), **options)


def reasons(report, key="dropped") -> dict:
    return {entry["id"]: entry["reason"] for entry in report[key]}


def test_ten_clips_invalid_in_ten_ways(published, spoil):
    names = [f"{i:06d}" for i in range(30)]
    for name in names:
        published.clip(name)
    expected = spoil(published.folder, names[:10])
    report = look(published).report()
    assert reasons(report) == expected
    assert (report["read"], report["kept"], report["records"]) == (31, 21, 21)
    assert report["scored"] == 21
    assert report["splits"]["train"]["dropped"] == 10
    assert all(entry["detail"] and entry["split"] == "train" for entry in report["dropped"])


def test_invalid_lines_of_a_kept_source_are_listed(published):
    published.clip("a", lines=["#x#0#0", "walks", "no fields#x", "sits#x#90#91", "runs#x#1#1.05"])
    found = look(published)
    assert [record.id for record in found.sources[0].records] == ["a"]
    assert found.sources[0].records[0].first_line == 1
    assert [(e["line"], e["reason"]) for e in found.report()["captions_dropped"]] == [
        (1, "caption_empty"),  # numbered from 1, as editors do
        (3, "text_malformed"),
        (4, "span_outside"),
        (5, "too_short"),
    ]


def test_a_source_without_valid_lines_has_the_reason_of_the_first(published):
    published.clip("a", lines=["sits#x#90#91", "#x#0#0"]).clip("b").clip("c")
    report = look(published).report()
    assert reasons(report) == {"a": "span_outside"}
    assert report["dropped"][0]["detail"].startswith("line 1 (the first of 2 unusable lines): ")


def test_an_empty_text_file_holds_no_caption(published):
    published.clip("a").clip("b")
    published.text("a").write_text("\n\n")
    assert reasons(look(published).report()) == {"a": "caption_empty"}


def test_complete_and_cut_clips(published):
    lines = ["walks", "sits#x#0.52#1.0", "runs#x#nan#nan", "bows#x#nan#0.5"]
    published.clip("a", lines=lines).clip("b", lines=["jumps#x#0.5#1.5", "lands#x#1.0#1.5"])
    a, b = look(published).sources
    assert [(r.id, r.first_line, r.span, r.frames, r.captions) for r in a.records] == [
        ("a", 0, (0, 0), slice(0, 30), ("walks", "runs")),
        ("a#1", 1, (0.52, 1.0), slice(10, 20), ("sits",)),
        ("a#3", 3, (0.0, 0.5), slice(0, 10), ("bows",)),
    ]
    assert [(r.id, r.first_line) for r in b.records] == [("b#0", 0), ("b#1", 1)]


@pytest.mark.parametrize(
    "span, outcome",
    [
        ("1.0#1.5", slice(20, 30)),
        ("1.0#2.5", slice(20, 30)),  # a second past the end: annotators round
        ("1.0#2.6", "span_outside"),
        ("1.5#1.6", "span_outside"),
        ("-0.5#1.0", "span_outside"),
        ("1.0#0.5", "span_outside"),
        ("0.0#inf", "span_outside"),
        ("1.0#1.0", "too_short"),
        ("1.4#1.6", slice(28, 30)),
    ],
)
def test_spans(published, span, outcome):
    published.clip("a", lines=["walks", f"sits#x#{span}"])  # 30 frames, 1.5 seconds
    found = look(published)
    if isinstance(outcome, slice):
        assert found.sources[0].records[1].frames == outcome
    else:
        assert reasons(found.report(), "captions_dropped") == {"a": outcome}


def test_kit_spans_are_cut_at_its_own_rate(published_kit):
    published_kit.clip("a", frames=40, lines=["walks#x#1.0#3.0"])
    found = survey(KitML(published_kit.folder))
    assert found.sources[0].records[0].frames == slice(12, 37)
    assert found.lengths("train") == [42]


@pytest.mark.parametrize("what", ["fps", "source_fps"])
def test_the_rates_of_any_reader_are_checked(published, what):
    reader = HumanML3D(published.clip("a").folder)
    setattr(reader, what, float("inf"))
    with pytest.raises(ValueError, match=f"HumanML3D: {what}=inf; expected a positive number"):
        survey(reader)


def test_min_frames(published):
    published.clip("a", frames=9).clip("b", frames=10)
    assert reasons(look(published, min_frames=10).report()) == {"a": "too_short"}


def test_a_name_in_two_splits_stays_in_test(published):
    published.clip("a").clip("b").clip("c").clip("d", "val")
    published.clip("a", "test").clip("b", "val").clip("a", "test")
    report = look(published).report()
    assert [(e["id"], e["split"], e["detail"]) for e in report["dropped"]] == [
        ("a", "train", "kept in test"),
        ("b", "train", "kept in val"),
        ("a", "test", "kept in test, on an earlier line"),
    ]


def test_twins(published):
    published.clip("012").mirrored("M012", "test").clip("Mary")
    twins = {source.id: source.mirrored_of for source in look(published).sources}
    assert twins == {"012": "", "M012": "012", "Mary": ""}
    with pytest.raises(ValueError, match="already has 1 mirrored twins, for example M012 of 012"):
        look(published, mirror=True)


def test_mirror_makes_twins_of_kept_sources(published):
    published.clip("a", lines=["waves left", "turns right#x#0.2#0.8"]).clip("b").clip("c", "val")
    published.text("b").unlink()
    found = look(published, mirror=True)
    assert [source.id for source in found.sources] == ["a", "c", "Ma", "Mc"]
    twin = found.sources[2]
    assert (twin.split, twin.mirrored_of) == ("train", "a")
    assert [(r.id, r.captions) for r in twin.records] == [
        ("Ma", ("waves right",)),
        ("Ma#1", ("turns left",)),
    ]
    reader = HumanML3D(published.folder)
    joints, mirrored = published.joints("a"), twin.joints(reader)[:, 0]
    names = reader.skeleton.joint_names
    left, right = names.index("left_wrist"), names.index("right_wrist")
    np.testing.assert_array_equal(mirrored[:, left], joints[:, right] * [-1, 1, 1])
    report = found.report()
    assert (report["read"], report["kept"], report["records"]) == (5, 4, 6)
    assert report["splits"]["train"] | {"captions": 4, "mirrored": 1} == report["splits"]["train"]


def test_more_than_half_of_a_split_missing_is_an_error(published):
    for i in range(6):
        published.clip(f"a{i}", "train").clip(f"b{i}", "test")
    for i in range(3):
        published.motion(f"b{i}").unlink()
    assert len(look(published).sources) == 9  # half is not more than half
    published.text("b3").unlink()
    with pytest.raises(ValueError, match="4 of 6: 3 motion_missing, 1 text_missing") as error:
        look(published)
    lines = str(error.value).split("\n")[2:]
    assert lines == [
        "  motion_missing, b0, b1, b2: no file new_joints/b0.npy. Check that the given folders are "
        "right and that everything was unpacked.",
        "  text_missing, b3: no file texts/b3.txt. Every name in the split files needs a text "
        "file; check that the texts were unpacked, and that their names are those of the motions.",
    ]


def test_a_split_of_unusable_files_is_an_error(published_kit):
    published_kit.clip("a").clip("b", "test")
    with pytest.raises(ValueError, match=r"shape, a, b: found .* expected .* 22, 3\]\. 21 j"):
        survey(HumanML3D(published_kit.folder))
    published_kit.motion("b").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"test: 1 of 1: 1 motion_unreadable\n.*numpy\.save"):
        survey(KitML(published_kit.folder))


def test_names_with_an_extension_are_explained(published):
    published.clip("a")
    (published.folder / "train.txt").write_text("a.npy\n")
    with pytest.raises(ValueError, match=r"must have no extension: a, not a\.npy"):
        look(published)


def test_kept_but_unscored_clips_are_a_warning(published):
    published.clip("a").clip("b", "test")
    for i in range(4):
        published.clip(f"c{i}", "test", lines=["#x#0#0", "walks", "turns#x#0.5#1.0"])
    published.clip("d", "test", lines=["sits#x#0.5#1.0", "walks"])
    found = look(published)
    assert found.report()["splits"]["test"]["scored"] == 2  # b, and d by its cut clip
    assert found.report()["scored"] == 3
    assert [line for line in found.table().split("\n") if "scored," in line] == [
        "warning: test: 4 clips kept but not scored, because their first caption line is unusable: "
        "c0, c1, c2, ..."
    ]


def test_empty_splits_are_a_warning(published):
    published.clip("a").clip("b", "val", frames=1).clip("c", "val", frames=1)
    table = look(published).table()
    assert "warning: val keeps none of its 2 clips\nwarning: test lists no clips" in table
    published.clip("d", "val").clip("e", "test")
    assert "warning" not in look(published).table()


def test_twins_across_splits_are_a_warning(published):
    published.clip("a").mirrored("Ma", "test").clip("b").mirrored("Mb").clip("c", "val")
    published.mirrored("Mc").clip("d").mirrored("Md", "test")
    published.text("d").unlink()  # the twin alone leaks nothing
    lines = [line for line in look(published).table().split("\n") if "twins" in line]
    assert lines == [
        "warning: 2 mirrored twins are in another split than their originals, which leaks data "
        "between splits: Mc in train, c in val; Ma in test, a in train"
    ]


def test_no_usable_train_source_is_an_error(published):
    published.clip("a", frames=1).clip("b", "test")
    with pytest.raises(ValueError, match="no usable source in train \\(1 too_short\\)"):
        look(published)


def test_reserved_characters_in_names_are_an_error(published):
    published.clip("a").clip("a#1")
    with pytest.raises(ValueError, match=r"1 names .*'a#1'"):
        look(published)


def test_table(published, spoil):
    for i in range(30):
        published.clip(f"{i:06d}")
    spoil(published.folder, [f"{i:06d}" for i in range(10)])
    lines = [" ".join(line.split()) for line in look(published).table().split("\n")]
    assert lines[:4] == [
        "split read kept dropped records captions scored frames min/median/max",
        "train 31 21 10 21 21 21 30/30/30",
        "val 0 0 0 0 0 0 -",
        "test 0 0 0 0 0 0 -",
    ]
    assert any(
        line.startswith("1 span_outside: the span is not within the motion") for line in lines
    )


def test_real_clips_invalid_in_ten_ways(mocap_folder, tmp_path, spoil):
    folder = shutil.copytree(mocap_folder, tmp_path / "raw")
    names = (folder / "train.txt").read_text().split()[100:110]
    expected = spoil(folder, names)
    report = survey(HumanML3D(folder)).report()
    assert reasons(report) == expected
    assert (report["read"], report["kept"]) == (2903, 2893)
    shutil.rmtree(folder)


def test_texts_without_fields_show_the_right_line(published):
    for name in "abc":
        published.clip(name)
        published.text(name).write_text("a person walks\nsomeone strolls\n")
    with pytest.raises(ValueError, match="train: 3 of 3: 3 text_malformed") as error:
        look(published)
    assert str(error.value).split("\n")[2] == (
        "  text_malformed, a, b, c: line 1 (the first of 2 unusable lines): a line without '#', "
        "expected 4, caption#tokens#start#end: 'a person walks'. Each line must be "
        "caption#tokens#start#end, like a person waves##0#0. If the lines are captions only, add "
        "--captions=plain."
    )


@pytest.mark.parametrize("split", ["val", "test"])
def test_any_split_of_unusable_texts_is_an_error(published, split):
    published.clip("a").clip("b", split)
    published.text("b").write_text("a person walks\n")
    with pytest.raises(ValueError, match=f"{split}: 1 of 1: 1 text_malformed"):
        look(published)


@pytest.mark.parametrize(
    ("change", "found", "todo"),
    [
        (lambda x: x.reshape(-1, 66), "[30, 66]", "save joints.reshape(-1, 22, 3)"),
        (lambda x: np.pad(x, ((0, 0), (0, 2), (0, 0))), "[30, 24, 3]", "save joints[:, :22]"),
        (lambda x: x[:, :21], "[30, 21, 3]", "use `python -m data_prep kit_ml`"),
    ],
)
def test_wrong_shapes_say_what_to_do(published, change, found, todo):
    for name in "ab":
        published.clip(name)
        np.save(published.motion(name), change(published.joints(name)))
    with pytest.raises(ValueError, match="2 wrong_shape") as error:
        look(published)
    message = str(error.value)
    assert f"found float32 {found}, expected numbers [frames, 22, 3]" in message and todo in message
    assert "unpacked" not in message


def test_reasons_of_choice_do_not_stop(published):
    published.clip("a").clip("b", frames=3).clip("c", frames=3).clip("d", frames=3)
    assert reasons(look(published, min_frames=10).report()) == dict.fromkeys("bcd", "too_short")


def noticed(found) -> dict[str, tuple[int, list[str]]]:
    return {f["kind"]: (f["count"], f["entries"]) for f in found.report()["noticed"]}


def test_nothing_is_noticed_about_a_clean_dataset(published):
    published.clip("a").mirrored("Ma").clip("b", "val").clip("c", "test")
    found = look(published)
    assert found.report()["noticed"] == []
    assert "noticed" not in found.table()


def test_files_that_no_split_names_are_counted(published):
    published.clip("a")
    for i in range(4):
        np.save(published.motion(f"left{i}"), np.zeros(3))
    published.text("left0").write_text("walks##0#0")
    (published.folder / "texts" / "notes.doc").touch()
    (published.folder / "texts" / ".hidden").touch()
    found = look(published)
    entries = [f"new_joints/left{i}.npy" for i in range(4)] + ["texts/left0.txt", "texts/notes.doc"]
    assert noticed(found) == {"file_unlisted": (6, entries)}
    assert (
        "       6 file_unlisted: files in the raw folder that were not read: of other kinds, or "
        f"named by no split: {'; '.join(entries[:3])}; ..."
    ) in found.table()


def test_the_same_clip_under_several_names_is_counted(published):
    published.clip("a").clip("b", "val").clip("c", "test").clip("d").clip("e").clip("f", "test")
    for name, of in (("b", "a"), ("c", "a"), ("e", "d"), ("f", "a")):
        shutil.copy(published.motion(of), published.motion(name))
    published.text("f").unlink()  # a clip that is dropped leaks nothing
    published.clip("g", "test")
    found = look(published)
    assert noticed(found) == {
        "same_clip_across_splits": (3, ["a in train = b in val = c in test"]),
        "same_clip_in_split": (2, ["d in train = e in train"]),
    }


def test_twins_are_decided_by_content(published):
    published.clip("a").clip("Ma").clip("b").clip("Mb").clip("c").mirrored("c_flipped", "val", "c")
    published.clip("d").mirrored("Md").clip("e", frames=20).clip("Me")
    shutil.copy(published.motion("b"), published.motion("Mb"))  # a copy that was not mirrored
    turned = published.joints("Md") @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]) + [1, 0, -2]
    noise = np.random.default_rng(0).normal(0, 0.002, (22, 3))
    np.save(published.motion("Md"), (turned + noise).astype(np.float32))
    found = look(published)
    twins = {source.id: source.mirrored_of for source in found.sources if source.mirrored_of}
    assert twins == {"c_flipped": "c", "Md": "d"}
    assert noticed(found)["not_mirrored"] == (3, ["Ma", "Mb", "Me"])
    assert "1 mirrored twins are in another split than their originals" in found.table()
    with pytest.raises(ValueError, match="already has 2 mirrored twins, for example Md of d"):
        look(published, mirror=True)


def test_mirror_does_not_take_the_name_of_another_clip(published):
    published.clip("a").clip("Ma")
    with pytest.raises(ValueError, match="would call the mirror image of a Ma, which is the name"):
        look(published, mirror=True)


def test_a_twin_of_an_unreadable_clip_is_believed(published):
    published.clip("a").mirrored("Ma").clip("b").clip("c")
    published.motion("a").unlink()
    assert {s.id: s.mirrored_of for s in look(published).sources}["Ma"] == "a"


def test_long_clips_and_captions_are_counted(published):
    long = " ".join(f"word{i}" for i in range(127))
    published.clip("a", frames=225, lines=[long, "walks", f"{long} on#x#0.0#1.0"])
    published.clip("b", frames=224, lines=[" ".join(["walks"] * 126)])
    assert noticed(look(published)) == {
        "clip_long": (1, ["a (225 frames)"]),
        "caption_long": (
            2,
            [
                f"a: {long[:57]!r}"[:-1] + "...' (127 words)",
                f"a#2: {long[:57]!r}"[:-1] + "...' (128 words)",
            ],
        ),
    }


class Pairs(Clips):
    """Two persons, of whom the second is there from frame `comes`; the first goes at `goes`."""

    sensor = "depth"

    def __init__(self, comes, goes=30):
        super().__init__(
            [SyntheticClip(str(i), "train", body(30, seed=i), ["x"], "") for i in range(2)]
        )
        self.there = np.ones((30, 2, 1, 1), np.float32)
        self.there[:comes, 1] = 0
        self.there[goes:, 0] = 0

    def joints(self, source):
        return np.repeat(super().joints(source), 2, axis=1) * self.there


@pytest.mark.parametrize(("comes", "goes"), [(0, 30), (20, 30), (30, 30), (0, 10)])
def test_persons_may_be_absent(comes, goes):
    found = survey(Pairs(comes, goes))
    assert len(found.sources) == 2 and not found.report()["dropped"]
    assert sum("(person 2)" in name for name in found.census.clips) == 2 * (comes < 30)


def test_a_clip_without_anybody_is_dropped():
    with pytest.raises(ValueError, match=r"zeros: 0: all joints are at one point in 100% of"):
        survey(Pairs(30, 0))

import json
import tarfile

import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.readers.humanml3d import HumanML3D
from data_prep.readers.label_table import LabelTable
from data_prep.survey import survey
from motionalign.data.dataset import Dataset
from motionalign.data.texts import attribute_classes

ROWS = """\
id,content,style,sex,speed
a,walk-turn-left,active,F,0.25
b,walk-turn-right,tired,M,1
c,run,active,M,0
d,walk-turn-left,tired,F,0.5
elsewhere,swim,wet,F,0.1
"""


@pytest.fixture
def clips(published):
    """Clips a, b, c in train and d in test, with a label table in the same folder."""
    for name in "abc":
        published.clip(name, lines=["someone moves", "moves fast#x#0.2#1.0"])
    published.clip("d", "test")
    write(published, ROWS)
    return published


def write(published, text):
    (published.folder / "labels.csv").write_text(text)


def reader(clips, label="content", attributes=(), **options) -> LabelTable:
    path = clips.folder / "labels.csv"
    return LabelTable(HumanML3D(clips.folder), path, label, attributes, **options)


def test_classes(clips):
    table = reader(clips)
    # Classes of the existing clips only.
    assert table.label_names == ("run", "walk turn left", "walk turn right")
    assert [table.label(name) for name in "abcd"] == [1, 2, 0, 1]
    assert table.attribute_names == ()


def test_labels_that_differ_by_spelling_are_noticed(clips):
    write(clips, ROWS.replace("b,walk-turn-right", "b,Walk Turn-Left").replace("M,0", "m,0"))
    found = survey(reader(clips, attributes=["sex"]))
    noticed = {f["kind"]: (f["count"], f["entries"]) for f in found.report()["noticed"]}
    assert noticed == {
        "labels_alike": (2, ["'Walk Turn Left', 'walk turn left'"]),
        "attributes_alike": (2, ["'M', 'm'"]),
    }
    assert "2 labels_alike: labels that differ by case, spaces" in found.table()


def test_clips_that_only_leaves_out_are_listed_files(clips):
    assert survey(reader(clips, only=["run"])).report()["noticed"] == []


def test_a_label_applies_to_all_records_of_a_source_and_creates_none(clips):
    source = survey(reader(clips)).sources[0]
    assert [(r.id, r.labels, r.captions) for r in source.records] == [
        ("a", (1,), ("someone moves",)),
        ("a#1", (1,), ("moves fast",)),
    ]


def test_attributes_of_words_and_of_numbers(clips):
    table = reader(clips, None, ["style", "sex", "speed"])
    assert table.attribute_names == ("active", "tired", "F", "M", "speed")
    assert table.attribute_groups == {
        "style": ("active", "tired"), "sex": ("F", "M"), "speed": ("speed",)
    }  # fmt: skip
    np.testing.assert_array_equal(table.attributes("a"), np.float32([1, 0, 1, 0, 0.25]))
    np.testing.assert_array_equal(table.attributes("b"), np.float32([0, 1, 0, 1, 1]))
    assert table.attributes("a").dtype == np.float32
    assert (table.label_names, table.label("a")) == ((), None)


def test_values_shared_by_columns_are_prefixed(clips):
    write(clips, "id,bag,hat\na,yes,no\nb,no,none\nc,no,no\nd,yes,no\n")
    table = reader(clips, None, ["bag", "hat"])
    assert table.attribute_names == ("bag no", "yes", "hat no", "none")
    np.testing.assert_array_equal(table.attributes("a"), [0, 1, 1, 0])
    write(clips, "id,bag,hat\na,0.5,bag\nb,0.1,bag\nc,0,bag\nd,1,bag\n")
    with pytest.raises(ValueError, match="two attributes would get the name 'bag'"):
        reader(clips, None, ["bag", "hat"])


def test_only(clips):
    (clips.folder / "nsim_test.txt").write_text("d\nc\n")
    table = reader(clips, attributes=["style"], only=["walk-turn-right", "run"])
    assert table.splits() == {"train": ["b", "c"], "val": [], "test": []}
    assert table.label_names == ("run", "walk turn right")
    assert table.dissimilar_test() == ["c"]
    with pytest.raises(
        ValueError,
        match="column 'content' has no walk, jump; it has run, swim, walk-turn-left, walk-turn-r",
    ):
        reader(clips, only=["walk", "run", "jump"])
    with pytest.raises(ValueError, match=r"--only selects clips by action: .* --label=COLUMN"):
        reader(clips, None, ["style"], only=["run"])


def test_sources_without_a_label_are_accounted_for(clips):
    rows = ROWS.replace("b,walk-turn-right,", "b,,").replace("c,run,active", "c,run, ")
    write(clips, rows)
    clips.clip("e")
    found = survey(reader(clips, attributes=["style"]))
    assert [(e["id"], e["reason"], e["detail"]) for e in found.dropped] == [
        ("b", "label_missing", "content is empty"),
        ("c", "attributes_malformed", "style is empty"),
        ("e", "label_missing", "no row in the table of labels"),
    ]
    assert [source.id for source in found.sources] == ["a", "d"]
    # Also with --only, since the action of such a clip is unknown.
    found = survey(reader(clips, only=["walk-turn-left"]))
    assert [(e["id"], e["reason"]) for e in found.dropped] == [("e", "label_missing")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("name,content,style\na,run,x\n", "has no column id; it has name, content, style"),
        ("id,style\na,x\n", "has no column content; it has id, style"),
        ("", "has no column id, content, style; it has none"),
        ("id,content,style\n", "has a header but no rows"),
        (
            "id,content,style\nz,run,x\n",
            "none of its 1 ids is the name of a clip; the first id is 'z', the first name in",
        ),
        ("id,content,style\na,run,x\na,sit,x\n", "1 ids have several rows, for example 'a'"),
        ("id,content,style\na,run,1.5\nb,run,0\n", "'style' contains 1.5; the numbers of an attr"),
        ("id,content,style\na,run,-0.5\nb,run,0\n", "'style' contains -0.5; the numbers"),
        ("id,content,style\na,run,0.5\nb,run,x\n", "'style' mixes numbers and words, 0.5 and 'x'"),
        ("id,content,style\na,run,nan\n", "'style' contains nan; the numbers"),
    ],
)
def test_invalid_tables_are_rejected(clips, rows, message):
    write(clips, rows)
    with pytest.raises(ValueError, match=message):
        reader(clips, attributes=["style"])


def test_inconsistent_options_are_rejected(clips, tmp_path):
    with pytest.raises(ValueError, match="the columns to read with --label or --attributes"):
        reader(clips, None)
    raw = ["humanml3d", f"--raw_dir={clips.folder}", f"--data_dir={tmp_path}/data"]
    with pytest.raises(SystemExit, match=r"--label, --only needs a label table: give --labels_csv"):
        main([*raw, "--label=content", "--only=run"])
    with pytest.raises(SystemExit, match=r"/nothing\.csv cannot be read: No such file"):
        main([*raw, "--label=content", "--labels_csv=nothing.csv"])


def test_texts_of_the_classes(clips, tmp_path):
    texts = {"descriptions": ["They are quick."], "synonyms": ["dash", "sprint"]}
    path = tmp_path / "texts.json"
    path.write_text(json.dumps({"classes": {"run": texts, "active, M": texts}}))
    table = reader(clips, attributes=["style", "sex"], texts=path)
    assert table.class_texts() == {kind: {"run": of, "active, M": of} for kind, of in texts.items()}
    assert table.notes == ()
    # Clip d is "tired, F"; no clip is tired and active.
    path.write_text(json.dumps({"classes": dict.fromkeys(["tired, F", "active, tired, F"], texts)}))
    table = reader(clips, attributes=["style", "sex"], texts=path)
    assert set(table.class_texts()["synonyms"]) == {"tired, F"}
    (note,) = table.notes
    assert note == f"{path}: ignored texts of unknown classes: 'active, tired, F'"
    path.write_text(json.dumps({"classes": {"hop": texts}}))
    with pytest.raises(ValueError, match=r"has texts of 'hop', none of .*'walk turn le"):
        reader(clips, attributes=["style", "sex"], texts=path)
    assert reader(clips).class_texts() == {}


def test_the_report_counts_classes(clips):
    write(clips, ROWS.replace("b,walk-turn-right,tired", "b,walk-turn-right,wet"))
    found = survey(reader(clips, attributes=["style", "speed"]))
    report = found.report()
    assert report["labels"] == {  # records: each clip of train has two, that of test one
        "run": {"train": 2, "val": 0, "test": 0},
        "walk turn left": {"train": 2, "val": 0, "test": 1},
        "walk turn right": {"train": 2, "val": 0, "test": 0},
    }
    assert report["attributes"] == {
        "active": {"train": 4, "val": 0, "test": 0},
        "tired": {"train": 0, "val": 0, "test": 1},
        "wet": {"train": 2, "val": 0, "test": 0},
        "speed": {"train": 2, "val": 0, "test": 0},  # above 0.5
    }
    lines = found.table().split("\n")
    assert "labels: 3; records per class: walk turn left 3, run 2, walk turn right 2" in lines
    assert "warning: test has no clip of 2 labels: run, walk turn right" in lines
    assert "warning: train has no clip of 1 attributes: tired" in lines
    one = survey(reader(clips, only=["run"]))
    assert "warning: all clips have the same label; recognition needs at least two" in (
        one.table().split("\n")
    )


def test_mirrored_classes(clips):
    found = survey(reader(clips, attributes=["style"]), mirror=True)
    labels = {source.id: source.records[0].labels for source in found.sources}
    expected = {"a": 1, "b": 2, "c": 0, "d": 1, "Ma": 2, "Mb": 1, "Mc": 0, "Md": 2}
    assert labels == {name: (label,) for name, label in expected.items()}
    with pytest.raises(ValueError, match="--mirror: 'walk turn left' would become 'walk turn ri"):
        survey(reader(clips, only=["walk-turn-left", "run"]), mirror=True)
    write(clips, ROWS.replace("active", "left-handed").replace("tired", "right-handed"))
    table = reader(clips, None, ["style"])
    twin = next(s for s in survey(table, mirror=True).sources if s.id == "Ma")
    np.testing.assert_array_equal(table.attributes("a"), [1, 0])
    np.testing.assert_array_equal(twin.attributes(table), [0, 1])


def test_from_the_command_line(clips, tmp_path, capsys):
    texts = {"descriptions": ["They are quick."], "synonyms": ["dash"]}
    classes = {"run": texts, "fly": texts}
    (tmp_path / "texts.json").write_text(json.dumps({"classes": classes}))
    command = [
        "humanml3d", f"--raw_dir={clips.folder}", f"--data_dir={tmp_path}/data", "--name=actions",
        f"--labels_csv={clips.folder}/labels.csv", "--label=content", "--attributes=style,speed",
        "--only=run,walk-turn-right", f"--texts={tmp_path}/texts.json",
    ]  # fmt: skip
    main(command)
    assert "texts.json: ignored texts of unknown classes: 'fly'" in capsys.readouterr().out
    dataset = Dataset(tmp_path / "data", "actions")
    assert dataset.metadata.label_names == ("run", "walk turn right")
    assert dataset.texts == {"descriptions": {"run": ["They are quick."]},
                             "synonyms": {"run": ["dash"]}}  # fmt: skip
    train = dataset.split("train")
    assert train.ids == ["b", "b#1", "c", "c#1"]
    np.testing.assert_array_equal(train.labels, [1, 1, 0, 0])
    np.testing.assert_array_equal(train.attributes, [[0, 1, 1]] * 2 + [[1, 0, 0]] * 2)
    assert attribute_classes(dataset.metadata, train)[0] == ["active", "tired, speed"]
    main(command)  # the same command keeps the existing dataset
    with pytest.raises(SystemExit, match=r"was prepared with --labels_csv; --texts\. Choose"):
        main(command[:4])
    with pytest.raises(SystemExit, match="was prepared with only=run,walk-turn-right, not None"):
        main([flag for flag in command if not flag.startswith("--only")])


def test_the_real_clips(test_data, tmp_path):
    with tarfile.open(test_data / "data" / "bandai_namco_2.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = next(tmp_path.glob("**/train.txt")).parent
    clips = HumanML3D(folder)
    table = LabelTable(clips, folder / "labels.csv", "content", ["style"])
    assert (len(table.label_names), len(table.attribute_names)) == (10, 7)
    assert sum(map(len, table.splits().values())) == 2902
    walks = LabelTable(
        clips, folder / "labels.csv", "content", ["style"],
        only=["walk", "walk-turn-left", "walk-turn-right"],
    )  # fmt: skip
    assert walks.label_names == ("walk", "walk turn left", "walk turn right")
    assert {s: len(names) for s, names in walks.splits().items()} == {
        "train": 513, "val": 36, "test": 96
    }  # fmt: skip

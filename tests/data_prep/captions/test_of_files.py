import collections

import pytest

from data_prep.captions.of_files import CaptionTable
from data_prep.readers import Caption, InvalidClip

Clip = collections.namedtuple("Clip", "id file take person", defaults=("", 0))

CLIPS = [
    Clip("walk/w01", "walk/w01.bvh"),
    Clip("duo#1", "duo.c3d", "", 1),
    Clip("duo#2", "duo.c3d", "", 2),
    Clip("hero#Run", "hero.glb", "Run"),
    Clip("hero#Jump", "hero.glb", "Jump"),
]


def found(tmp_path, *rows, head="file,caption,take,person,start,end"):
    path = tmp_path / "captions.csv"
    path.write_text("\n".join([head, *rows]) + "\n", "utf-8")
    table = CaptionTable.read(path)
    return table.of_clips(CLIPS), table.notes()


def test_rows_name_files_with_and_without_suffix(tmp_path):
    of, notes = found(
        tmp_path, "walk/w01.bvh,a walk", "./walk/w01,a slow walk", "walk\\w01.bvh,once more",
        head="file,caption",
    )  # fmt: skip
    assert of["walk/w01"] == [Caption("a walk"), Caption("a slow walk"), Caption("once more")]
    assert of["duo#1"] == []
    assert notes == []


def test_a_row_is_about_all_takes_and_persons_unless_it_names_one(tmp_path):
    of, _ = found(tmp_path, "duo,both", "duo.c3d,second,,2", "duo#1,first", "hero.glb,all",
                  "hero,jumps,Jump", "hero.glb#Run,runs")  # fmt: skip
    texts = {name: [caption.text for caption in captions] for name, captions in of.items()}
    assert texts == {
        "walk/w01": [],
        "duo#1": ["both", "first"],
        "duo#2": ["both", "second"],
        "hero#Run": ["all", "runs"],
        "hero#Jump": ["all", "jumps"],
    }


def test_stretches_and_cells_that_are_no_seconds(tmp_path):
    of, _ = found(tmp_path, "duo,dance,,,1.5,4", "walk/w01,x,,,late,4", "walk/w01,x,,,2,",
                  "walk/w01,,,,,", "walk/w01,x,,,0,3")  # fmt: skip
    assert of["duo#2"] == [Caption("dance", 1.5, 4.0)]
    *wrong, last = of["walk/w01"]
    assert [(type(each), each.reason) for each in wrong] == [
        (InvalidClip, "span_outside"), (InvalidClip, "span_outside"),
        (InvalidClip, "caption_empty"),
    ]  # fmt: skip
    assert "line 3" in wrong[0].detail and "'late'" in wrong[0].detail
    assert last == Caption("x", 0.0, 3.0)


def test_rows_without_a_file_are_counted_and_refused_if_they_are_most(tmp_path):
    _, notes = found(tmp_path, "walk/w01,a", "duo,b", "elsewhere.bvh,c", head="file,caption")
    assert notes == ["captions.csv: 1 rows name no file here: line 4: elsewhere.bvh"]
    with pytest.raises(ValueError, match=r"2 of 3 rows name files that are not.*'w01.bvh'.*walk/"):
        found(tmp_path, "walk/w01,a", "w01.bvh,b", "w02.bvh,c", head="file,caption")


def test_a_table_without_the_columns(tmp_path):
    with pytest.raises(ValueError, match="no column caption"):
        found(tmp_path, "a,b", head="file,text")


def test_missing_quotes_are_errors(tmp_path):
    head = "file,caption"
    with pytest.raises(ValueError, match=r"captions\.csv, line 3: 3 cells, .*has 2.*quotes"):
        found(tmp_path, "walk/w01,walks", "walk/w01,walks, then waves", head=head)
    for last in ("duo,y", '"duo",y', 'duo,"y"'):
        rows = ("walk/w01,walks", 'walk/w01,"walks, waves', "duo,x", last)
        with pytest.raises(
            ValueError, match=r"captions\.csv, line 3: a double quote is not closed"
        ):
            found(tmp_path, *rows, head=head)
    of, _ = found(
        tmp_path, '"walk/w01","walks, then waves"', "walk/w01,slowly,,", 'walk/w01,"two\nlines"',
        'walk/w01,a 5" step', head=head,
    )  # fmt: skip
    texts = ["walks, then waves", "slowly", "two lines", 'a 5" step']
    assert of["walk/w01"] == [Caption(text) for text in texts]

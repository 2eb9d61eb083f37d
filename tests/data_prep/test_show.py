"""The HTML page of a prepared dataset."""

import json

import pytest

from data_prep.__main__ import main
from motionalign import digests


def test_classes_are_shown(published, tmp_path):
    for name, split in (("a", "train"), ("b", "train"), ("c", "test")):
        published.clip(name, split)
    rows = ["id,action,style", "a,run,tired", "b,walk,tired", "c,walk,<b>"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    table = [f"--labels_csv={tmp_path}/labels.csv", "--label=action", "--attributes=style"]
    data = f"--data_dir={tmp_path}/data"
    main(["humanml3d", f"--raw_dir={published.folder}", data, "--name=mine", *table])
    main(["show", data, "--name=mine", "--split=test"])
    page = (tmp_path / "data" / "mine.html").read_text()
    splits = "<th>train</th><th>test</th>"
    assert f"<table><tr><th>action</th>{splits}</tr>\n" in page
    assert "<tr><th>walk</th><td>1</td><td>1</td>\n<tr><th>run</th><td>1</td><td>0</td>" in page
    assert f"<table><tr><th>attribute</th>{splits}</tr>\n<tr><th>tired</th><td>2</td>" in page
    assert "; walk; &lt;b&gt;</small>" in page


def test_what_was_noticed_is_shown(published, tmp_path):
    published.clip("a").clip("b").mirrored("a<b>", "test", of="a")
    for i in range(4):
        published.text(f"left<{i}>").touch()
    data = f"--data_dir={tmp_path}/data"
    main(["humanml3d", f"--raw_dir={published.folder}", data])
    main(["show", data, "--name=humanml3d"])
    page = (tmp_path / "data" / "humanml3d.html").read_text()
    listed = "; ".join(f"texts/left&lt;{i}&gt;.txt" for i in range(3))
    assert "<h2>Noticed</h2>" in page and "<td>4</td><td>files in the raw folder" in page
    assert f"{listed}; ...</td>" in page and "<b>" not in page.partition("<h2>Noticed")[2][:2000]
    # Reports of older versions have no such entry.
    report = tmp_path / "data" / "humanml3d" / "1.0.0" / "report.json"
    content = json.loads(report.read_text())
    del content["noticed"]
    report.write_text(json.dumps(content))
    (report.parent / digests.NAME).unlink()
    main(["show", data, "--name=humanml3d"])
    assert "Noticed" not in (tmp_path / "data" / "humanml3d.html").read_text()
    for damaged, message in (
        ("{", "is not valid JSON"),
        ("{}", "lacks 'splits'"),
        ('{"splits": 3, "dropped": []}', "splits is 3; expected an object"),
    ):
        report.write_text(damaged)
        with pytest.raises(SystemExit, match=f"{report}:? {message}.*Prepare the dataset again"):
            main(["show", data, "--name=humanml3d"])


def test_prepare_and_show(published, tmp_path, capsys):
    published.clip("a", lines=["walks", "turns#x#0.5#1.0"]).clip("b").clip("c", "test")
    published.clip("d", "test", lines=["#x#0#0", "sits"])
    published.text("b").write_text("nothing")
    data = f"--data_dir={tmp_path}/data"
    main(["humanml3d", f"--raw_dir={published.folder}", data, "--mirror"])
    assert "1 text_malformed" in capsys.readouterr().out
    main(["show", data, "--name=humanml3d", "--num_clips=3"])
    page = (tmp_path / "data" / "humanml3d.html").read_text()
    assert page.count("data:image/png") == 6  # a strip and a patch image per clip
    for needed in ("3 of 4 records of train", "text_malformed", "walks", "right leg", "<svg",
                   "blue is the right side"):  # fmt: skip
        assert needed in page
    assert "seconds 0.5 to 1 of" in page
    assert "<th>scored</th>" in page
    assert "Classes" not in page  # there are none
    assert (
        "<tr><th>test</th>" + "".join(f"<td>{n}</td>" for n in (4, 4, 0, 2, 4, 4, 2)) in page
    )  # d is not scored


def test_markup_in_data_is_text_on_the_page(published, tmp_path):
    published.clip("a<i>1", lines=["walks <script>alert(1)</script> & <b>away"]).clip("b", "test")
    data = f"--data_dir={tmp_path}/data"
    main(["humanml3d", f"--raw_dir={published.folder}", data, "--name=mine"])
    path = tmp_path / "data" / "mine" / "1.0.0" / "report.json"
    report = json.loads(path.read_text("utf-8"))
    entry = {"id": "<u>id", "reason": "<u>reason", "detail": "<u>detail", "split": "<u>split"}
    counts = dict.fromkeys(report["splits"]["train"], 0)
    report["splits"] |= {"<u>split": counts}
    report |= {"dropped": [entry], "captions_dropped": [entry]}
    path.write_text(json.dumps(report), "utf-8")
    (path.parent / digests.NAME).unlink()
    main(["show", data, "--name=mine"])
    page = (tmp_path / "data" / "mine.html").read_text("utf-8")
    for markup in ("<script", "<b>away", "<i>", "<u>"):
        assert markup not in page
    assert "a&lt;i&gt;1" in page
    assert "walks &lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;away" in page
    for text in ("id", "reason", "detail", "split"):
        assert f"&lt;u&gt;{text}" in page


def test_a_report_of_another_form_is_named(published, tmp_path, capsys):
    published.clip("a").clip("b", "test")
    data = f"--data_dir={tmp_path}/data"
    main(["humanml3d", f"--raw_dir={published.folder}", data, "--name=mine"])
    path = tmp_path / "data" / "mine" / "1.0.0" / "report.json"
    report = json.loads(path.read_text("utf-8"))
    report["splits"]["train"]["kept"] = "<script>"
    path.write_text(json.dumps(report), "utf-8")
    (path.parent / digests.NAME).unlink()
    with pytest.raises(SystemExit, match=r"report\.json: splits: train: kept is '<script>'; "):
        main(["show", data, "--name=mine"])

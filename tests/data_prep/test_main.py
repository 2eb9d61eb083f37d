import json
import pathlib
import subprocess
import sys

import pytest
from published_files import write_babel, write_densegait

from data_prep.__main__ import main
from motionalign.data.dataset import Dataset

ROOT = pathlib.Path(__file__).parents[2]


def test_help_teaches_and_imports_no_tensorflow():
    script = (
        "import sys\nfrom data_prep.__main__ import main\n"
        "try: main(['humanml3d', '--help'])\n"
        "except SystemExit: print('HEAVY', {'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    assert "HEAVY set()" in out
    for needed in ("new_joints", "caption#tokens#start#end", "github.com", "span_outside"):
        assert needed in out


@pytest.mark.parametrize(
    "command", ["humanml3d", "kit_ml", "babel", "densegait", "synthetic", "embed", "show"]
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"python -m data_prep {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("babel", ["extra_train.json", "model.npz", "https://amass.is.tue.mpg.de", "label_unknown",
                   "--joints_dir", "--labels {segments,sequence}"]),
        ("densegait", ["annotations.csv", "file_name", "attributes_malformed", "--fps"]),
        ("humanml3d", ["--labels_csv", "--only VALUE", "label_missing"]),
    ],
)  # fmt: skip
def test_help_of_datasets_with_classes(command, needed, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert [part for part in needed if part not in out] == []
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert f"python -m data_prep {command} " in capsys.readouterr().out


def test_babel_and_densegait_from_the_command_line(tmp_path):
    paths = write_babel(tmp_path / "babel", num_train=10, num_val=2)
    data = f"--data_dir={tmp_path}/data"
    command = ["babel", data, *(f"--{name}={path}" for name, path in paths.items())]
    main([*command, "--labels=sequence", "--classes=30", "--seed=3"])
    dataset = Dataset(tmp_path / "data", "babel")
    assert len(dataset.metadata.label_names) == 30
    assert {len(dataset.split(split).labels) > 0 for split in ("train", "val", "test")} == {True}
    options = json.loads((dataset.version_dir / "report.json").read_text())["options"]
    assert options["labels"] == "sequence"
    assert (options["extra"], options["seed"], options["classes"]) == (False, 3, 30)
    assert options["amass_dir"] == str(paths["amass_dir"])
    with pytest.raises(SystemExit, match="was prepared with labels=sequence, not segments"):
        main([*command, "--classes=30", "--seed=3"])
    with pytest.raises(SystemExit, match="prepared with --amass_dir; --smplh_dir; no --joints_dir"):
        main(["babel", data, f"--raw_dir={paths['raw_dir']}", "--joints_dir=.", "--classes=30",
              "--seed=3", "--labels=sequence"])  # fmt: skip

    raw_dir = write_densegait(tmp_path / "densegait", num_tracks=10)
    main(["densegait", data, f"--raw_dir={raw_dir}", "--fps=30"])
    assert Dataset(tmp_path / "data", "densegait").metadata.fps == 30
    main(["show", data, "--name=densegait", "--num_clips=2"])
    page = (tmp_path / "data" / "densegait.html").read_text()
    assert page.count("data:image/png") == 2  # strips only: in 2D there are no patches
    assert "records by frames at 30 a second" in page


def test_what_the_user_can_put_right_is_said_without_a_traceback(tmp_path):
    with pytest.raises(SystemExit, match=r"data_prep: .* is not a folder in HumanML3D's layout"):
        main(["humanml3d", f"--raw_dir={tmp_path}"])
    with pytest.raises(SystemExit, match="data_prep: dataset 'none' is not prepared"):
        main(["show", f"--data_dir={tmp_path}", "--name=none"])


def test_mistakes_are_explained_in_a_line(published, tmp_path):
    data = f"--data_dir={tmp_path}/data"
    with pytest.raises(SystemExit, match="at least 2 are needed, one for train and one for test"):
        main(["synthetic", "--num_clips=1", data])
    raw = f"--raw_dir={published.clip('a').folder}"
    main(["humanml3d", raw, data])
    with pytest.raises(SystemExit, match="was prepared with patch_size=16, not 8"):
        main(["humanml3d", raw, data, "--patch_size=8"])
    show = ["show", data, "--name=humanml3d"]
    with pytest.raises(SystemExit, match="is a folder; name a file"):
        main([*show, f"--output={tmp_path}"])
    with pytest.raises(SystemExit, match="--num_clips=-1"):
        main([*show, "--num_clips=-1"])
    with pytest.raises(SystemExit, match=r"data_prep: .*File exists"):
        main([*show, f"--output={published.folder}/train.txt/page.html"])
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("flags", [["--traceback", "show"], ["show", "--traceback"]])
def test_traceback(tmp_path, flags):
    with pytest.raises(ValueError, match="not prepared"):
        main([*flags, f"--data_dir={tmp_path}", "--name=none"])


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


def test_prepare_and_show(published, tmp_path, capsys):
    published.clip("a", lines=["walks", "turns#x#0.5#1.0"]).clip("b").clip("c", "test")
    published.clip("d", "test", lines=["#x#0#0", "sits"])
    published.text("b").write_text("nothing")
    data = f"--data_dir={tmp_path}/data"
    main(["humanml3d", f"--raw_dir={published.folder}", data, "--mirror"])
    assert "1 text_malformed" in capsys.readouterr().out
    main(["show", data, "--name=humanml3d", "--num_clips=3"])
    page = (tmp_path / "data" / "humanml3d.html").read_text()
    assert page.count("data:image/png") == 6  # a strip and a patch picture each
    for needed in ("3 of 4 records of train", "text_malformed", "walks", "right leg", "<svg",
                   "blue is the right side"):  # fmt: skip
        assert needed in page
    assert "seconds 0.5 to 1 of" in page
    assert "<th>scored</th>" in page
    assert "Classes" not in page  # there are none
    assert (
        "<tr><th>test</th>" + "".join(f"<td>{n}</td>" for n in (4, 4, 0, 2, 4, 4, 2)) in page
    )  # d is not scored

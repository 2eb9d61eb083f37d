"""The command line: registry, help, errors, and adding a reader with one line."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from bodies import body
from published_files import write_babel, write_densegait

import data_prep.__main__
from data_prep.__main__ import main
from data_prep.readers import REASONS, Caption, Command, Reader
from motionalign.data.dataset import Dataset
from motionalign.skeleton import SKELETONS

ROOT = pathlib.Path(__file__).parents[2]


def test_help_is_shown_without_importing_tensorflow():
    script = (
        "import sys\nfrom data_prep.__main__ import main\n"
        "try: main(['humanml3d', '--help'])\n"
        "except SystemExit: pass\n"
        "print('HEAVY', {'tensorflow', 'jax', 'torch', 'grain'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    assert "HEAVY set()" in out
    for needed in ("new_joints", "caption#tokens#start#end", "github.com", "span_outside"):
        assert needed in out


def test_the_registry():
    names = [command.name for command in data_prep.__main__.READERS]
    names += [name for name, _ in data_prep.__main__.COMMANDS]
    assert len(set(names)) == len(names)
    assert {"humanml3d", "kit_ml", "babel", "densegait", "synthetic"} <= set(names)
    assert {"embed", "describe", "show"} <= set(names)


@pytest.mark.parametrize(
    "command",
    [reader.name for reader in data_prep.__main__.READERS]
    + [name for name, _ in data_prep.__main__.COMMANDS],
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


@pytest.mark.parametrize("command", ["humanml3d", "kit_ml", "babel", "densegait"])
def test_help_lists_the_reasons_that_the_reader_gives(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    out = capsys.readouterr().out
    listed = {reason for reason in REASONS if f"  {reason} " in out}
    modules = {"humanml3d": ["humanml3d", "label_table"], "kit_ml": ["humanml3d", "label_table"]}
    given = set() if command == "densegait" else {"span_outside"}  # which the survey gives
    for name in modules.get(command, [command]):
        source = (ROOT / "data_prep" / "readers" / f"{name}.py").read_text()
        given |= set(re.findall(r'InvalidClip\(\s*"(\w+)"', source))
    every = {"duplicate_id", "motion_missing", "wrong_shape", "not_finite", "too_short"}
    assert given | every <= listed
    assert not {"text_missing", "label_missing", "label_unknown", "attributes_malformed",
                "caption_empty", "text_malformed", "span_outside"} & (listed - given)  # fmt: skip
    assert ("my_clips" in out) == (command == "humanml3d")


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
    assert page.count("data:image/png") == 2  # strips only: 2D records have no patches
    assert "records by number of frames, at 30 frames per second" in page


def test_user_errors_are_reported_without_a_traceback(tmp_path):
    with pytest.raises(SystemExit, match=r"data_prep: .* is not a folder in HumanML3D's layout"):
        main(["humanml3d", f"--raw_dir={tmp_path}"])
    with pytest.raises(SystemExit, match="data_prep: dataset 'none' is not prepared"):
        main(["show", f"--data_dir={tmp_path}", "--name=none"])


def test_mistakes_are_explained_in_one_line(published, tmp_path):
    data = f"--data_dir={tmp_path}/data"
    with pytest.raises(SystemExit, match="expected at least 2, one each for train and test"):
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
    assert not list(tmp_path.rglob("*.partial*"))


@pytest.mark.parametrize("flags", [["--traceback", "show"], ["show", "--traceback"]])
def test_traceback(tmp_path, flags):
    with pytest.raises(ValueError, match="not prepared"):
        main([*flags, f"--data_dir={tmp_path}", "--name=none"])


class Dots(Reader):
    """A reader of a new format: <raw_dir>/<split>-<name>.csv, with one joint's x, y, z per cell."""

    skeleton = SKELETONS["smpl22"]
    source_fps = 20.0
    unit_in_metres = None

    def __init__(self, raw_dir, scale):
        self.files = {path.stem: path for path in sorted(pathlib.Path(raw_dir).glob("*.csv"))}
        self.scale = scale

    def splits(self):
        listed = {"train": [], "val": [], "test": []}
        for name in self.files:
            listed[name.partition("-")[0]].append(name)
        return listed

    def joints(self, source):
        numbers = np.loadtxt(self.files[source], delimiter=",", dtype=np.float32)
        return self.scale * numbers.reshape(-1, 1, 22, 3)

    def captions(self, source):
        return [Caption(source.partition("-")[2])]


def dots_options(parser):
    parser.add_argument("--raw_dir", required=True)
    parser.add_argument("--scale", type=float, default=1.0)


def dots_source(args):
    if args.scale <= 0:
        raise ValueError(f"--scale={args.scale}: above 0")
    return {"raw_dir": args.raw_dir, "scale": args.scale}


DOTS = Command(
    name="dots",
    summary="joints in CSV files",
    about="Dots.\n\nexample:\n  python -m data_prep dots --raw_dir=FOLDER",
    add_options=dots_options,
    source=dots_source,
    make=lambda args: Dots(args.raw_dir, args.scale),
    config="humanml3d_vit",
)


def test_a_new_reader_needs_one_file_and_one_line(tmp_path, monkeypatch, capsys):
    """`Dots` and `DOTS` would be the file; the line is the entry in the registry."""
    readers = (*data_prep.__main__.READERS, DOTS)
    monkeypatch.setattr(data_prep.__main__, "READERS", readers)
    (tmp_path / "raw").mkdir()
    joints = np.stack([body(30, seed=i).reshape(30, 66) / 2 for i in range(3)])  # --scale=2
    for name, clip in zip(("train-walks", "train-sits", "test-jumps"), joints):
        np.savetxt(tmp_path / "raw" / f"{name}.csv", clip, delimiter=",", fmt="%.9g")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert re.search("dots +joints in CSV files", capsys.readouterr().out)
    with pytest.raises(SystemExit, match="0"):
        main(["dots", "--help"])
    assert "Dots.\n\nexample:\n  python -m data_prep dots" in capsys.readouterr().out

    command = ["dots", f"--raw_dir={tmp_path}/raw", f"--data_dir={tmp_path}/data"]
    with pytest.raises(SystemExit, match=r"data_prep: --scale=-1\.0: above 0"):
        main([*command, "--scale=-1"])
    main([*command, "--scale=2", "--mirror"])
    dataset = Dataset(tmp_path / "data", "dots")
    assert f"prepared {dataset.version_dir}" in capsys.readouterr().out
    options = json.loads((dataset.version_dir / "report.json").read_text())["options"]
    assert options == {
        "patch_size": 16, "min_frames": 2, "mirror": True,
        "command": "dots", "raw_dir": f"{tmp_path}/raw", "scale": 2.0,
    }  # fmt: skip
    test = dataset.split("test")
    assert test.ids == ["Mtest-jumps", "test-jumps"]
    assert test.captions[1] == ["jumps"]
    np.testing.assert_array_equal(test[1]["joints"], 2 * joints[2].reshape(30, 1, 22, 3))
    with pytest.raises(SystemExit, match=r"was prepared with scale=2\.0, not 1\.0"):
        main([*command, "--mirror"])
    main(["show", f"--data_dir={tmp_path}/data", "--name=dots", "--num_clips=1"])
    assert (tmp_path / "data" / "dots.html").exists()

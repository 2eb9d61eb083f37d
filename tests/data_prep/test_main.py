import pathlib
import subprocess
import sys

import pytest

from data_prep.__main__ import main

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


@pytest.mark.parametrize("command", ["humanml3d", "kit_ml", "synthetic", "embed", "show"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"python -m data_prep {command}" in capsys.readouterr().out


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
    assert (
        "<tr><th>test</th>" + "".join(f"<td>{n}</td>" for n in (4, 4, 0, 2, 4, 4, 2)) in page
    )  # d is not scored

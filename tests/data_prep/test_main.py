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


def test_prepare_and_show(published, tmp_path, capsys):
    published.clip("a", lines=["walks", "turns#x#0.5#1.0"]).clip("b").clip("c", "test")
    published.text("b").write_text("nothing")
    data = f"--data_dir={tmp_path}/data"
    main(["humanml3d", f"--raw_dir={published.folder}", data, "--mirror"])
    assert "1 text_malformed" in capsys.readouterr().out
    main(["show", data, "--name=humanml3d", "--num_clips=3"])
    page = (tmp_path / "data" / "humanml3d.html").read_text()
    assert page.count("data:image/png") == 6  # a strip and a patch picture each
    for needed in ("3 of 4 records of train", "text_malformed", "walks", "right leg", "<svg"):
        assert needed in page
    assert "seconds 0.5 to 1 of" in page

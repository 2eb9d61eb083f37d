"""The choice of a format."""

import pytest

from motionalign import formats


def test_a_file_of_no_format_is_refused_by_name(tmp_path):
    path = tmp_path / "clip.xyz"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"clip\.xyz: no motion format has the suffix \.xyz"):
        formats.read(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"clip\.bvh cannot be read: No such file"):
        formats.read(tmp_path / "clip.bvh")


def test_a_folder_is_no_take(tmp_path):
    with pytest.raises(ValueError, match="is a folder, and not one of a sequence"):
        formats.read(tmp_path)

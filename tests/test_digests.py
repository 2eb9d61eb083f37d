"""Digests of stored files: what is found, what is said, and what an interruption leaves."""

import json
import subprocess
import threading
import time

import pytest

from motionalign import digests, files


@pytest.fixture
def folder(tmp_path):
    """A folder of three files with digests."""
    folder = tmp_path / "stored"
    for name, text in {"a.json": '{"x": 1}', "sub/b": "βeta\r\n", "README.md": "text"}.items():
        files.write_text(folder / name, text)
    digests.write(folder, leave_out=("README.md",))
    return folder


def warnings(caplog):
    return [record.getMessage() for record in caplog.records]


def test_intact_files(folder, caplog):
    digests.check(folder)
    digests.check(folder, ("sub",))
    assert digests.read_json(folder / "a.json") == {"x": 1}
    assert digests.read_bytes(folder / "a.json") == b'{"x": 1}'
    assert set(digests.stored(folder)) == {"a.json", "sub/b"}
    assert warnings(caplog) == []
    subprocess.run(["sha256sum", "--check", digests.NAME], cwd=folder, check=True)


@pytest.mark.parametrize("change", ["changed", "truncated", "missing"])
@pytest.mark.parametrize("name", ["a.json", "sub/b"])
def test_a_file_that_is_not_what_was_stored(folder, name, change):
    path = folder / name
    if change == "missing":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] if change == "truncated" else b"#" + data[1:])
    message = f"{path} is {'missing' if change == 'missing' else 'damaged'}.*Copy it again"
    for below in (None, (name.partition("/")[0],)):
        with pytest.raises(ValueError, match=message):
            digests.check(folder, below, "Copy it again")
    other = "sub" if name == "a.json" else "a.json"
    digests.check(folder, (other,))
    if name == "a.json":
        with pytest.raises(ValueError, match=message):
            digests.read_json(path, "Copy it again")


@pytest.mark.parametrize("at", range(0, 150, 7))
def test_damage_to_the_digests_is_not_blamed_on_the_files(folder, at):
    path = folder / digests.NAME
    data = bytearray(path.read_bytes())
    data[at] ^= 2
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{path} is damaged. The files .* may be intact"):
        digests.check(folder)
    with pytest.raises(ValueError, match=rf"{path} is damaged. The files .* may be intact"):
        digests.read_text(folder / "a.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "a.json is not valid JSON: .*Mend it"),
        (b"\xff", "a.json, line 1: byte 0xff is not UTF-8.*Mend it"),
        (b"[" * 100_000, "a.json is not valid JSON: .*Mend it"),
    ],
)
def test_files_of_older_versions(tmp_path, caplog, content, message):
    """Unverified with one line for the folder; invalid content is an error all the same."""
    path = tmp_path / "a.json"
    path.write_bytes(content)
    (tmp_path / "b.json").write_text("2")
    with pytest.raises(ValueError, match=message):
        digests.read_json(path, "Mend it")
    assert digests.read_json(tmp_path / "b.json") == 2
    digests.check(tmp_path)
    line = f"{tmp_path} is not verified: it was stored without digests (SHA256SUMS)"
    assert warnings(caplog) == [line]


def test_a_recorded_file_is_verified_with_the_others(folder, caplog):
    with digests.recording(folder / "later.json"):
        files.write_json(folder / "later.json", [1])
    with digests.recording(folder / "a.json"):
        files.write_json(folder / "a.json", [2])
    assert digests.read_json(folder / "a.json") == [2]
    assert set(digests.stored(folder)) == {"a.json", "later.json", "sub/b"}
    digests.check(folder)
    assert warnings(caplog) == []
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "SHA256SUMS", "a.json", "later.json", "sub",
    }  # fmt: skip


@pytest.mark.parametrize("written", [False, True], ids=["before the file", "after the file"])
def test_a_process_killed_while_recording(folder, written, caplog):
    """The file is read, unverified, whether it is the old or the new one."""
    with pytest.raises(KeyboardInterrupt), digests.recording(folder / "a.json"):
        if written:
            files.write_json(folder / "a.json", [2])
        raise KeyboardInterrupt
    assert digests.read_json(folder / "a.json") == ([2] if written else {"x": 1})
    assert warnings(caplog) == [
        f"{folder / 'a.json'} is not verified: it was stored without digests (SHA256SUMS)"
    ]
    digests.check(folder, ("sub",))
    with digests.recording(folder / "a.json"):
        files.write_json(folder / "a.json", [3])
    assert digests.read_json(folder / "a.json") == [3]


def test_files_recorded_at_once_all_get_their_digests(folder):
    def record(i):
        path = folder / f"{i}.json"
        with digests.recording(path):
            time.sleep(0.002)
            files.write_json(path, [i])

    threads = [threading.Thread(target=record, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests.stored(folder)) == 22
    digests.check(folder)


def test_content_that_does_not_fit_is_an_error_of_the_file(tmp_path):
    path = tmp_path / "a.json"
    for use, message in (
        (lambda: {}["name"], f"{path} lacks 'name'. Mend it"),
        (lambda: int("x"), f"{path}: invalid literal .*. Mend it"),
        (lambda: len(3), f"{path} has unexpected content .*len.*. Mend it"),
        (lambda: json.loads("{"), f"{path}: Expecting .*. Mend it"),
    ):
        with pytest.raises(ValueError, match=message), digests.interpreting(path, "Mend it"):
            use()
    with pytest.raises(ValueError, match=f"^{path} is bad$"), digests.interpreting(path, "Mend it"):
        raise ValueError(f"{path} is bad")


def test_a_file_that_is_replaced_while_it_is_read(folder, monkeypatch):
    """Old content with new digests is not taken for damage: the new content is read."""
    path = folder / "a.json"
    read = digests.stored

    def replaced_first(where):
        monkeypatch.setattr(digests, "stored", read)
        with digests.recording(path):
            files.write_json(path, [2])
        return read(where)

    monkeypatch.setattr(digests, "stored", replaced_first)
    assert digests.read_json(path) == [2]
    before = read(folder)
    with digests.recording(path):
        files.write_json(path, [3])
    monkeypatch.setattr(digests, "stored", lambda where: monkeypatch.undo() or before)
    digests.check(folder)

import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from motionalign import digests, reading

READERS = (
    reading.read_text, reading.read_json, reading.read_array, reading.read_arrays, reading.Tensors,
    lambda path: reading.read_part(path, 0, 1), lambda path: reading.Bytes(path, "file"),
)  # fmt: skip


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name, what in (("pipe", "a pipe"), ("endless", "a pipe, socket or device"),
                       ("folder", "a folder"), ("missing", "No such file")):  # fmt: skip
        with pytest.raises(ValueError, match=rf"/{name} .*{what}"):
            read(tmp_path / name)
    with pytest.raises(
        ValueError, match=r"a\.\.\. cannot be read|aaa cannot be read: File name too"
    ):
        read(tmp_path / ("a" * 5000))
    with pytest.raises(ValueError, match="null"):
        read(f"{tmp_path}/a\0b")


LFS_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n"
)


@pytest.mark.parametrize("read", [*READERS, reading.check_file, digests.check])
def test_a_pointer_of_git_lfs_is_called_by_its_name(tmp_path, read):
    """Also where the digest of the file itself is stored, which a pointer does not have."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"the file itself")
    digests.write(tmp_path)
    path.write_text(LFS_POINTER, "utf-8")
    message = r"a\.safetensors is a pointer of Git LFS, .* Run `git lfs pull` in it"
    with pytest.raises(ValueError, match=message):
        read(tmp_path if read is digests.check else path)
    path.write_text(f"A text about\n{LFS_POINTER}", "utf-8")
    reading.check_file(path)


def test_text_is_utf8_with_any_ends_of_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "jemand läuft\r\n—\r".encode())
    assert reading.read_text(path) == "jemand läuft\n—\n"
    path.write_bytes(b"one\ntwo\njemand l\xe4uft\n")
    with pytest.raises(ValueError, match=r"a\.txt, line 3: byte 0xe4 .* Save the file as UTF-8.*"):
        reading.read_text(path)
    path.write_text("läuft", "utf-16")
    with pytest.raises(ValueError, match="iconv -f UTF-16"):
        reading.read_text(path)


def test_text_has_a_limit(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 100)
    assert len(reading.read_text(path, limit=100)) == 100
    with pytest.raises(ValueError, match=r"a\.txt has more than 99 bytes"):
        reading.read_text(path, limit=99)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON: Expecting property name"),
        ("[" * 100_000, "is not valid JSON: it is nested too deeply"),
        ("9" * 5000, "is not valid JSON: Exceeds the limit"),
        (r'"\ud800"', "is not valid JSON: .*surrogates not allowed"),
    ],
)
def test_invalid_json(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=rf"a\.json {message}"):
        reading.read_json(path)


FORM = {"name": str, "sizes": list[int], "rate": float | None, "of": dict[str, tuple[str, ...]]}
VALID = {"name": "ä", "sizes": [1, 2], "rate": 0.5, "of": {"a": ["b"]}}


@pytest.mark.parametrize("change", [{}, {"rate": None}, {"rate": 3}, {"sizes": []}, {"more": 1}])
def test_json_of_the_form(tmp_path, change):
    (tmp_path / "a.json").write_text(json.dumps(VALID | change), "utf-8")
    assert reading.read_json(tmp_path / "a.json", FORM) == VALID | change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, r"name is 3; expected a text"),
        ({"name": None}, r"name is None; expected a text"),
        ({"sizes": "12"}, r"sizes is '12'; expected a list"),
        ({"sizes": [1, True]}, r"sizes\[1\] is True; expected a whole number"),
        ({"sizes": [1.0]}, r"sizes\[0\] is 1.0; expected a whole number"),
        ({"sizes": [2**63]}, r"sizes\[0\] is 9223372036854775808; expected a whole number"),
        ({"rate": float("nan")}, "rate is nan; expected a finite number"),
        ({"rate": 10**400}, "rate is 1000+...; expected a finite number"),
        ({"rate": [1]}, "rate is a list; expected a finite number"),
        ({"of": {"a": [{}]}}, r"of: a\[0\] is an object; expected a text"),
        ({"of": []}, "of is a list; expected an object"),
    ],
)
def test_json_of_another_form(tmp_path, change, message):
    (tmp_path / "a.json").write_text(json.dumps(VALID | change), "utf-8")
    with pytest.raises(ValueError, match=rf"a\.json: {message}$"):
        reading.read_json(tmp_path / "a.json", FORM)


def test_json_without_a_field(tmp_path):
    (tmp_path / "a.json").write_text('{"name": "a"}', "utf-8")
    with pytest.raises(ValueError, match=r"a\.json lacks 'sizes'"):
        reading.read_json(tmp_path / "a.json", FORM)
    with pytest.raises(ValueError, match=r"a\.json is an object; expected a list"):
        reading.read_json(tmp_path / "a.json", list)


def with_header(header, content=b"\0" * 100):
    file = io.BytesIO()
    head = header.encode().ljust(117) + b"\n"
    file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content)
    return file.getvalue()


HEADERS = {
    "{'descr': '<f4', 'fortran_order': False, 'shape': (10**12,)}": "Cannot parse|malformed",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}": "4,000,000,000,000 byt",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (24,)}": "96 bytes, but 100 follow",
    "{'descr': '|O', 'fortran_order': False, 'shape': (25,)}": "Python objects, which are never",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (9999999999,)}": "without content",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-25,)}": r"the shape \(-25,\)",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (25,": "TokenError|Cannot parse",
    "(" * 117: "TokenError|Cannot parse|MemoryError|SyntaxError",
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_is_not_believed(tmp_path, header):
    data = with_header(header)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(
        ValueError, match=rf"a\.npy is not a complete .npy file: .*({HEADERS[header]})"
    ):
        reading.read_array(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("c.npy", data)
    with pytest.raises(
        ValueError, match=rf"b\.npz is not a complete .npz file: .*({HEADERS[header]})"
    ):
        reading.read_arrays(tmp_path / "b.npz")


def test_arrays(tmp_path):
    values = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array(3), "c": np.array(["ä"]),
              "d": np.zeros((0, 4), "f2")}  # fmt: skip
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **values)
        found = reading.read_arrays(tmp_path / "a.npz")
        assert found.keys() == values.keys()
        for name, value in values.items():
            np.save(tmp_path / "a.npy", value)
            for read in (found[name], reading.read_array(tmp_path / "a.npy")):
                np.testing.assert_array_equal(read, value)
                assert read.dtype == value.dtype
    with pytest.raises(ValueError, match=r"a\.npz has no array x; it has a, b, c, d"):
        reading.read_arrays(tmp_path / "a.npz", ["a", "x"])


def test_an_archive_that_promises_more_than_it_can_hold(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1000))
    member = reading.open_arrays(tmp_path / "a.npz")["a"].member
    member.file_size = 1 << 50
    with pytest.raises(ValueError, match=r"it promises 1,125,899,906,842,624 bytes"):
        reading._check_compressed(member, (tmp_path / "a.npz").stat().st_size)


def test_tensors(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"a": np.arange(3)}, path, {"made by": "a test"})
    file = reading.Tensors(path)
    assert file.metadata == {"made by": "a test"}
    assert file.shapes == {"a": (3,)}
    np.testing.assert_array_equal(file.read("a"), np.arange(3))
    with pytest.raises(ValueError, match=r"a\.safetensors has no tensor b"):
        file.read("b")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"a\.safetensors is not a complete safetensors file"):
        reading.Tensors(path)


def test_bytes_in_order(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"ab\x01\x02\x00\x00rest")
    with reading.Bytes(path, "thing") as file:
        assert (file.take(2), file.number("<H"), file.number("<h")) == (b"ab", 513, 0)
        assert (file.position, file.size) == (6, 10)
        file.check(4, "the rest")
        for count in (5, 2**60):
            with pytest.raises(
                ValueError, match=r"a\.bin is not a complete thing: byte 6 promises"
            ):
                file.take(count)
        with pytest.raises(ValueError, match="byte 6 promises a poem, but 4 bytes follow"):
            file.check(5, "a poem")
        assert file.take(4) == b"rest"
    with pytest.raises(ValueError, match=r"a.bin is not a complete thing: because"):
        file.fail("because")
    assert reading.read_part(path, 2, 3) == b"\x01\x02\0"
    assert reading.read_part(path, 10, 0) == b""
    for start, count in ((8, 3), (2**60, 1), (0, 2**60)):
        with pytest.raises(ValueError, match=r"a\.bin has 10 bytes, but"):
            reading.read_part(path, start, count)


def test_no_memory_is_taken_for_what_a_header_promises(tmp_path):
    """In a process of limited memory."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    (tmp_path / "a.npy").write_bytes(with_header(header))
    code = (
        "import resource, sys; from motionalign import reading\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n"
        "try: reading.read_array(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
    assert "4,000,000,000,000 bytes, but 100 follow" in done.stdout, done.stderr

"""Mutations of files: bytes, numbers, and the structure of JSON, NumPy, GGUF and other files.

Every function takes a random generator and content, and returns new content; equal seeds give equal
content.
"""

import io
import json
import struct
import time
import zipfile

import numpy as np

HUGE = (b"1e308", b"-1", b"1e999", b"nan", b"9" * 30, b"9" * 5000, b"0", b"1e-320", b"Infinity")


def flip_bits(rng, data):
    """One to eight bits, half of the time near the start, where headers are."""
    changed = bytearray(data)
    end = min(len(data), 200) if rng.random() < 0.5 else len(data)
    for place in rng.integers(max(end, 1), size=rng.integers(1, 9)):
        if changed:
            changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def truncate(rng, data):
    return data[: rng.integers(len(data) + 1)]


def _chunk(rng, data):
    start = int(rng.integers(len(data) + 1))
    return start, start + int(rng.integers(1, 2 ** rng.integers(1, 12)))


def remove_chunk(rng, data):
    start, end = _chunk(rng, data)
    return data[:start] + data[end:]


def repeat_chunk(rng, data):
    start, end = _chunk(rng, data)
    return data[:end] + data[start:end] * int(rng.integers(1, 4)) + data[end:]


def insert_bytes(rng, data):
    start, end = _chunk(rng, data)
    inserted = (rng.bytes(end - start), b"\0" * (end - start), b"\xe4", b"\xff\xfe")
    return data[:start] + inserted[rng.integers(len(inserted))] + data[start:]


def huge_line(rng, data):
    start, _ = _chunk(rng, data)
    return data[:start] + b"a" * int(rng.integers(1 << 18, 1 << 22)) + data[start:]


def change_number(rng, data):
    """Replaces a run of digits by another number."""
    digits = [i for i, byte in enumerate(data[: 1 << 16]) if 48 <= byte < 58]
    if not digits:
        return insert_bytes(rng, data)
    start = end = digits[rng.integers(len(digits))]
    while end < len(data) and 48 <= data[end] < 58:
        end += 1
    return data[:start] + HUGE[rng.integers(len(HUGE))] + data[end:]


BYTES = (
    flip_bits, truncate, remove_chunk, repeat_chunk, insert_bytes, change_number, flip_bits,
)  # fmt: skip


def of_bytes(rng, data):
    return BYTES[rng.integers(len(BYTES))](rng, data)


def of_lines(rng, data):
    return huge_line(rng, data) if rng.random() < 0.05 else of_bytes(rng, data)


# ---------------------------------------------------------------------------- JSON

VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e308, -1e308,
    float("nan"), float("inf"), "", "text", "läuft", "a\nb", "\ud800", [], {}, [None], [[1]],
    {"": 0}, {"a": {"b": []}}, "x" * (1 << 20), [0] * 1000,
)  # fmt: skip


def _places(value, path=()):
    """The paths of all nodes of a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(each, (*path, key))


def change_json(rng, value):
    """Replaces, removes, renames or wraps a node, more often a shallow one."""
    places = sorted(_places(value), key=len)
    path = places[min(rng.integers(len(places)), rng.integers(len(places)))]
    new = VALUES[rng.integers(len(VALUES))]
    if not path:
        return new
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    match rng.integers(6):
        case 0:
            del inner[path[-1]]
        case 1 if isinstance(inner, dict):
            inner["unknown"] = inner.pop(path[-1])
        case 2:
            inner[path[-1]] = [inner[path[-1]]]
        case 3 if isinstance(inner, list):
            inner.append(new)
        case _:
            inner[path[-1]] = new
    return value


def of_json(rng, data):
    """Half of the time the structure, else the bytes; now and then deep nesting."""
    if rng.random() < 0.35:
        return of_bytes(rng, data)
    if rng.random() < 0.03:
        depth = int(rng.integers(500, 200_000))
        opening, closing = ((b"[", b"]"), (b'{"a":', b"}"))[rng.integers(2)]
        return opening * depth + b"1" + closing * depth
    value = json.loads(data)
    for _ in range(rng.integers(1, 3)):
        if isinstance(value, dict | list):
            value = change_json(rng, value)
    return json.dumps(value).encode()


def of_json_lines(rng, data):
    lines = data.splitlines()
    if rng.random() < 0.3 or not lines:
        return of_bytes(rng, data)
    i = rng.integers(len(lines))
    lines[i] = of_json(rng, lines[i])
    return b"\n".join(lines) + b"\n"


# ---------------------------------------------------------------------------- arrays


def change_array(rng, array):
    """Another dtype, shape or value."""
    array = np.array(array)
    match rng.integers(9):
        case 0 if array.dtype.kind in "US":
            return np.arange(array.size).reshape(array.shape) if array.ndim else array.astype("U3")
        case 0:
            return array.astype(("f2", "f8", "i1", "u8", "c16", "S4", "U3", "?")[rng.integers(8)])
        case 1:
            return array.reshape(-1)
        case 2:
            return array[None]
        case 3:
            return array[..., :-1] if array.ndim else np.zeros(0)
        case 4:
            return array[:0] if array.ndim else np.array("text")
        case 5:
            return np.array(array.tolist(), dtype=object)
        case 6 if array.size and array.dtype.kind == "f":
            array.flat[rng.integers(array.size)] = (np.nan, np.inf, 1e30)[rng.integers(3)]
        case 7 if array.size and array.dtype.kind in "iu":
            limits = np.iinfo(array.dtype)
            array.flat[rng.integers(array.size)] = (limits.max, limits.min)[rng.integers(2)]
        case _:
            return array[: len(array) // 2] if array.ndim else array[None]
    return array


def _npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array))
    return file.getvalue()


def lying_header(rng, data):
    """An .npy file whose header promises another shape, dtype or form."""
    shapes = ("(10**12,)", "(1000000000000, 22, 3)", "(-1, 22, 3)", "(2, 0)", "()", "(1e9,)",
              "(True,)", "(4611686018427387904, 4)", "('a',)", "None", "(1,) * 100")  # fmt: skip
    kinds = ("<f4", "|O", "<U100000000", "V1", "x", "<f4" * 50, ">f8", "[('a', '<f4')]")
    header = (
        f"{{'descr': '{kinds[rng.integers(len(kinds))]}', 'fortran_order': "
        f"{('False', 'True', 'None', '3')[rng.integers(4)]}, "
        f"'shape': {shapes[rng.integers(len(shapes))]}, }}"
    )
    if rng.random() < 0.2:
        header = ("(" * 3000, "{" * 60, "'", "{'descr': ", "[" * 200 + "]" * 200)[rng.integers(5)]
    head = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data[128:]


def of_npy(rng, data):
    if rng.random() < 0.4:
        return of_bytes(rng, data)
    if rng.random() < 0.5:
        return lying_header(rng, data)
    return _npy(change_array(rng, np.load(io.BytesIO(data))))


def of_npz(rng, data):
    """The bytes of the archive, or those or the array of a member, or its set of members."""
    if rng.random() < 0.3:
        return of_bytes(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[rng.integers(len(members))]
    match rng.integers(6):
        case 0:
            del members[name]
        case 1:
            members["unknown.npy"] = members.pop(name)
        case 2:
            members[name] = lying_header(rng, members[name])
        case 3:
            members[name] = of_bytes(rng, members[name])
        case _:
            members[name] = _npy(change_array(rng, np.load(io.BytesIO(members[name]))))
    file = io.BytesIO()
    kind = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[rng.integers(2)]
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def of_safetensors(rng, data):
    """The bytes, or the header: 8 bytes of its length, then JSON."""
    if rng.random() < 0.4:
        return of_bytes(rng, data)
    (length,) = struct.unpack_from("<Q", data)
    header = of_json(rng, data[8 : 8 + length])
    stated = (len(header), 0, 1, 2**40, 2**63)[rng.integers(5) if rng.random() < 0.1 else 0]
    return struct.pack("<Q", stated) + header + data[8 + length :]


LENGTHS = (0, 1, 2, 7, 31, 2**16, 2**31, 2**32 - 1, 2**40, 2**60, 2**63, 2**64 - 1)


def of_gguf(rng, data):
    """The bytes, or numbers of the header: of texts, values, dimensions, types and offsets.

    Where the numbers are is not parsed: eight bytes that are a small number are taken for one.
    """
    if rng.random() < 0.4:
        return of_bytes(rng, data)
    places = [
        i for i in range(4, min(len(data) - 8, 1 << 14))
        if int.from_bytes(data[i : i + 8], "little") < 1 << 12
    ]  # fmt: skip
    changed = bytearray(data)
    for _ in range(rng.integers(1, 3)):
        at, size = places[rng.integers(len(places))], (4, 8)[rng.integers(2)]
        number = LENGTHS[rng.integers(len(LENGTHS))] % 2 ** (8 * size)
        changed[at : at + size] = number.to_bytes(size, "little")
    return bytes(changed)


def of_tfrecord(rng, data):
    """The bytes, or the payload of a record under a valid checksum."""
    from motionalign.data.records import _masked_crc

    if rng.random() < 0.6:
        return of_bytes(rng, data)
    offset, records = 0, []
    while offset < len(data):
        (length,) = struct.unpack_from("<Q", data, offset)
        records.append(data[offset + 12 : offset + 12 + length])
        offset += 16 + length
    i = rng.integers(len(records))
    changed = of_bytes(rng, records[i])
    # The index knows where a record ends.
    records[i] = changed[: len(records[i])].ljust(len(records[i]), b"\0")
    framed = (
        (head := struct.pack("<Q", len(payload)))
        + struct.pack("<I", _masked_crc(head))
        + payload
        + struct.pack("<I", _masked_crc(payload))
        for payload in records
    )
    return b"".join(framed)


# ---------------------------------------------------------------------------- motion files


def refusals(path, cases=100, mutate=of_lines):
    """How many mutations of a motion file, by default of its lines, are refused.

    Each refusal must be a ValueError of one short message that names the file, within seconds.
    """
    from motionalign import formats

    complete, refused = path.read_bytes(), 0
    for seed in range(cases):
        path.write_bytes(mutate(np.random.default_rng(seed), complete))
        start = time.perf_counter()
        try:
            formats.read(path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) and len(str(error)) < len(str(path)) + 400, seed
        assert time.perf_counter() - start < 10, seed
    return refused

"""Writes C3D files byte by byte, so that tests can write any kind, also a wrong one.

After https://www.c3d.org/HTML: a block of 512 bytes with the header, blocks of parameters, blocks
of frames.
"""

import math
import pathlib
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

BLOCK = 512
INTEL, DEC, MIPS = 84, 85, 86


def content(
    points: np.ndarray,
    labels: list[str],
    *,
    residuals: np.ndarray | None = None,
    processor: int = INTEL,
    integers: bool = False,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    rate: float = 100.0,
) -> bytes:
    """The bytes of a file.

    Args:
      points: [T, N, 3].
      labels: of the points; from the 256th on they go to LABELS2, ...
      residuals: [T, N], negative: not measured; by default 0.
      processor: INTEL, DEC or MIPS, whose numbers differ.
      integers: whether points are stored as 16-bit integers times a scale.
      parameters: {group: {name: value}} besides or instead of those of POINT; None removes one.
      rate: frames per second.
    """
    frames, count = points.shape[:2]
    residuals = np.zeros((frames, count)) if residuals is None else residuals
    scale = float(np.abs(points[np.isfinite(points)]).max() / 30000) if integers else -1.0
    groups: dict[str, dict[str, Any]] = {
        "POINT": {
            "USED": count, "FRAMES": min(frames, 65535), "SCALE": scale, "RATE": rate,
            "DATA_START": 0, "UNITS": "mm", "LABELS": labels[:255],
        },
        "ANALOG": {"USED": 0},
        "FORCE_PLATFORM": {"USED": 0},
    }  # fmt: skip
    for start in range(255, len(labels), 255):
        groups["POINT"][f"LABELS{start // 255 + 1}"] = labels[start : start + 255]
    for group, values in (parameters or {}).items():
        groups.setdefault(group, {}).update(values)
    start = 2 + math.ceil(len(_section(groups, processor)) / BLOCK)
    groups["POINT"]["DATA_START"] = start
    section = _section(groups, processor)
    head = struct.pack("BB", 2, 0x50) + _words(processor, count, 0, 1, min(frames, 65535), 0)
    head += _real(scale, processor) + _words(processor, start, 1) + _real(rate, processor)
    section = section.ljust((start - 2) * BLOCK, b"\0")
    section = section[:2] + struct.pack("BB", start - 2, processor) + section[4:]
    return head.ljust(BLOCK, b"\0") + section + _frames(points, residuals, scale, processor)


def write(path: pathlib.Path, *arguments: Any, **options: Any) -> pathlib.Path:
    """Writes a file; see `content`."""
    path.write_bytes(content(*arguments, **options))
    return path


def _endian(processor: int) -> str:
    return ">" if processor == MIPS else "<"


def _words(processor: int, *values: int) -> bytes:
    return struct.pack(f"{_endian(processor)}{len(values)}H", *values)


def _real(value: float, processor: int) -> bytes:
    return _reals(np.asarray([value]), processor)


def _reals(values: np.ndarray, processor: int) -> bytes:
    """DEC's reals are Intel's times 4 (its exponent is greater by 2), with words swapped."""
    if processor != DEC:
        return np.asarray(values, f"{_endian(processor)}f4").tobytes()
    words = (np.asarray(values, "<f4") * 4).astype("<f4").view("<u2").reshape(-1, 2)
    return words[:, ::-1].tobytes()


def _section(groups: Mapping[str, Mapping[str, Any]], processor: int) -> bytes:
    out = bytearray(b"\1\x50\0\0")
    for number, (group, values) in enumerate(groups.items(), 1):
        out += _entry(group, -number, b"\0", processor)
        for name, value in values.items():
            if value is not None:
                out += _entry(name, number, _value(value, processor) + b"\0", processor)
    return bytes(out + b"\0\0")


def _entry(name: str, number: int, body: bytes, processor: int) -> bytes:
    text = name.encode()
    return struct.pack("bb", len(text), number) + text + _words(processor, len(body) + 2) + body


def _value(value: Any, processor: int) -> bytes:
    """Type, dimensions and data of a parameter: text, texts, whole numbers, real numbers."""
    if isinstance(value, str):
        data = value.encode()
        return struct.pack("bBB", -1, 1, len(data)) + data
    if isinstance(value, list) and (not value or isinstance(value[0], str)):
        width = max(map(len, (each.encode() for each in value)), default=0)
        data = b"".join(each.encode().ljust(width) for each in value)
        return struct.pack("bBBB", -1, 2, width, len(value)) + data
    shape = (len(value),) if isinstance(value, list) else ()
    values = np.ravel(value)
    whole = values.dtype.kind in "iu"
    data = _words(processor, *map(int, values)) if whole else _reals(values, processor)
    return struct.pack("bB", 2 if whole else 4, len(shape)) + bytes(shape) + data


def _frames(points: np.ndarray, residuals: np.ndarray, scale: float, processor: int) -> bytes:
    if scale < 0:
        return _reals(np.concatenate([points, residuals[..., None]], -1), processor)
    values = np.concatenate([np.round(points / scale), residuals[..., None]], -1)
    return values.astype(f"{_endian(processor)}i2").tobytes()

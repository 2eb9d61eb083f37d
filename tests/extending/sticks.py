"""A motion format of its own: a line of joint names, then a row of x, y, z a frame, at 30 fps."""

import numpy as np

from motionalign.formats import text
from motionalign.formats.format import Format
from motionalign.formats.motion import Motion, distinct


def read(path, options):
    content, notes = text.read(path)
    head, _, _ = content.partition("\n")
    names = distinct(head.split())
    found = text.numbers(path, content, len(head) + 1)
    if (wrong := found.counts[found.counts > 0] != 3 * len(names)).any():
        text.fail(path, int(found.lines[wrong][0]), "another number", f"{3 * len(names)} numbers")
    return [
        Motion(
            name=path.stem,
            format=FORMAT.name,
            joint_names=names,
            parents=None,
            positions=np.reshape(found.values, (-1, 1, len(names), 3)),
            fps=30.0,
            notes=notes,
        )
    ]


FORMAT = Format("sticks", "rows of points", suffixes=(".sticks",), read=read)

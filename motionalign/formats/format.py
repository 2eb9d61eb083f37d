"""What a motion format is: the protocol of the modules of this package that read one."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping

from motionalign.formats.motion import Motion


@dataclasses.dataclass(frozen=True)
class Options:
    """What a format may need beside the file.

    Attributes:
      smplh_dir: folder of SMPL or SMPL-H body models, for files of SMPL's parameters.
      skeleton: a skeleton file (formats/skeleton_file.py), for arrays without names.
    """

    smplh_dir: str | os.PathLike | None = None
    skeleton: str | os.PathLike | None = None


@dataclasses.dataclass(frozen=True)
class Format:
    """A motion format.

    Attributes:
      name: as people call it.
      about: one line on what is read and what is left out.
      suffixes: of its files, in lower case.
      read: function from the path of a file, or of a folder if `frames`, and the options to its
        takes. Raises a ValueError that names the file, and for a text file the line, with what was
        found and what was expected.
      claims: whether a file with one of the suffixes is of this format, from a look at its start;
        None: by its suffix alone. Must not raise for a spoiled file.
      extra: the optional dependency of motionalign that it needs, as in pip install
        'motionalign[extra]'; None: none.
      files: pattern of the whole names of its files, where the suffix says too little, such as
        .txt; None: any name.
      frames: the ends of the names of files that hold one frame each, so that a folder of them is
        one take; empty: a file is a take or more.
      beside: suffixes of files that are read along with others and hold no motion of their own, and
        what to say of one.
    """

    name: str
    about: str
    suffixes: tuple[str, ...]
    read: Callable[[pathlib.Path, Options], list[Motion]]
    claims: Callable[[pathlib.Path], bool] | None = None
    extra: str | None = None
    files: str | None = None
    frames: tuple[str, ...] = ()
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)

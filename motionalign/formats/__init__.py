"""Motion files of other programs; each module reads one format.

`read` takes a file of any known format to its takes, as the file has them: in its own unit, axes
and joints. `motionalign.anatomy` says what they are. Nothing here needs TensorFlow or PyTorch.
"""

from motionalign.formats.format import Format
from motionalign.formats.motion import Motion
from motionalign.formats.registry import FORMATS, find, format_of, read

__all__ = ("FORMATS", "Format", "Motion", "find", "format_of", "read")

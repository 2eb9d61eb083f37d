r"""3D human motion and language in one space: prepare data, train, evaluate, search.

  motionalign data_prep synthetic                      a built-in dataset, made in seconds
  motionalign train --config=configs/quickstart.py     train, or resume, into runs/quickstart
  motionalign eval --checkpoint=runs/quickstart        score a checkpoint
  motionalign encode --checkpoint=runs/quickstart --input=clips --output=clips.npz
  motionalign convert share runs/quickstart shared     a folder to share; published checkpoints

  motionalign COMMAND --help                           says more of each
  motionalign train --help_config                      lists the fields of a config

The same commands from a clone: python launch.py --mode=train (eval, encode), python -m data_prep,
python -m motionalign.convert.
"""

import sys
from collections.abc import Sequence

from motionalign import __version__

COMMANDS = ("data_prep", "train", "eval", "encode", "convert")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command.

    Args:
      argv: its name and arguments; default: those of the process.

    Raises:
      SystemExit: there is no such command (status 2), or what the command itself ends with.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(__doc__)
    elif name == "--version":
        print(f"motionalign {__version__}")
    elif name == "data_prep":
        from data_prep.__main__ import main as prepare

        prepare(arguments[1:])
    elif name == "convert":
        from motionalign.convert import main as convert

        convert(arguments[1:])
    elif name in COMMANDS:
        from motionalign import launch

        launch.run(["motionalign", f"--mode={name}", *arguments[1:]])
    else:
        print(
            f"motionalign: no command {name!r}; the commands are {', '.join(COMMANDS)} "
            "(--help shows an example of each)",
            file=sys.stderr,
        )
        sys.exit(2)

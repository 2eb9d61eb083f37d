r"""3D human motion and language in one space: prepare data, train, evaluate, search.

  motionalign data_prep synthetic                      generate the built-in dataset in seconds
  motionalign train --config=configs/quickstart.py     train or resume in runs/quickstart
  motionalign eval --checkpoint=runs/quickstart        evaluate a checkpoint
  motionalign encode --checkpoint=runs/quickstart --input=clips --output=clips.npz
  motionalign tokenize --checkpoint=runs/tokens --output=sentences.jsonl
  motionalign convert share runs/quickstart shared     export a model; convert published ones
  motionalign compile_ahead --config=configs/humanml3d_vit.py --target=h100:8
                                                       what a run needs of accelerators, without any

  motionalign COMMAND --help                           help for a command
  motionalign train --help_config                      list the fields of a config

From a clone, the same commands are: python launch.py --mode=train (eval, encode, tokenize),
python -m data_prep, python -m motionalign.convert, python -m motionalign.compile_ahead.
"""

import difflib
import sys
from collections.abc import Sequence

from motionalign import __version__, commands

COMMANDS = ("data_prep", "train", "eval", "encode", "tokenize", "convert", "compile_ahead")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command.

    Args:
      argv: name and arguments of the command; default: those of the process.

    Raises:
      SystemExit: the command does not exist (status 2), or the command itself exits.
    """
    if argv is None:
        commands.use_utf8()
        commands.exit_on_signals()  # the imports of the commands take seconds
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
        meant = difflib.get_close_matches(name, COMMANDS, 1)
        print(
            f"motionalign: unknown command {name!r}; valid: {', '.join(COMMANDS)}. "
            + (f"Did you mean {meant[0]}? " if meant else "")
            + "(--help shows examples)",
            file=sys.stderr,
        )
        sys.exit(2)

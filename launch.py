"""Trains, evaluates and applies motion-language models: `python launch.py --help`."""

from motionalign import commands

if __name__ == "__main__":
    commands.use_utf8()
    commands.exit_on_signals()  # the imports below take seconds
    from motionalign.launch import run

    run()

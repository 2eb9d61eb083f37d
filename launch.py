"""Trains, evaluates and applies motion-language models: `python launch.py --help`."""

from motionalign.commands import use_utf8

if __name__ == "__main__":
    use_utf8()  # before the imports, which take seconds
    from motionalign.launch import run

    run()

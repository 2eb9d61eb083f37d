"""Trains, evaluates and applies motion-language models: `python launch.py --help`."""

from motionalign.launch import run

if __name__ == "__main__":
    run()

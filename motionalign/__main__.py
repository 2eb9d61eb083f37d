"""`python -m motionalign`: the console command `motionalign`."""

from motionalign.cli import main

if __name__ == "__main__":
    main()

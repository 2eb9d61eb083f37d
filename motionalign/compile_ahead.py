"""`python -m motionalign.compile_ahead`: the command `motionalign compile_ahead`.

  python -m motionalign.compile_ahead --config=configs/humanml3d_vit.py --target=h100:8

Compiles the steps of a run for accelerators that are not here, with their real compilers, and says
whether they fit and what they are made of; see motionalign/planning.
"""

import sys

from motionalign.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["compile_ahead"]
    main()

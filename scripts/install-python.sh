#!/usr/bin/env bash
# The virtual environment: Debian's Python, exactly the packages of a lock file (each by its hash), and Sekisho itself from this folder.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=$1

# one that was moved here, or made by a Python that is gone, is made anew
if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null || [ "$(.venv/bin/pip --version 2>/dev/null | grep -cF "$PWD/.venv/")" = 0 ]; then
  rm -rf .venv
  /usr/bin/python3 -m venv .venv
fi
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip install --require-hashes -r "$requirements"
pip install --require-hashes -r requirements-build.txt
pip install --no-deps --no-build-isolation -e .

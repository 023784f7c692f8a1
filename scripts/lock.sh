#!/usr/bin/env bash
# Resolves the dependencies of pyproject.toml and package.json anew into lock files that name hashes and no address.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { .venv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 "$@"; }

compile pyproject.toml -o requirements.txt
compile pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
.venv/bin/python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]))' | compile - -o requirements-build.txt
npm install --package-lock-only --ignore-scripts

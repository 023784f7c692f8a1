# Everything a newcomer, a developer and the continuous integration run. `make help` lists it.
# Repeated runs are fast: what is there is not fetched or built again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

STATE ?= ./var/demo
IMAGES ?= terminal desktop
ARGUMENTS ?=

BIN := .venv/bin
PYTHON := $(BIN)/python
NPM_DONE := node_modules/.package-lock.json
VENDOR := $(addprefix src/sekisho/,portal/static/vendor/htmx.min.js gateway/static/vendor/xterm.js gateway/static/vendor/novnc/core/rfb.js)
SLOW := root or browser or postgres

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo '  STATE=DIR    where `make run` keeps its state (now $(STATE))'

.PHONY: run
run: as-root install image ## install what is needed and start Sekisho with sample people, rooms and files
	$(BIN)/sekisho up --demo --state $(STATE)

.PHONY: test
test: as-root install-dev image check ## install what is needed, run every check and test
	$(PYTHON) -m pytest -q -m 'not ($(SLOW) or long)' $(ARGUMENTS)
	$(PYTHON) -m pytest -q -m '($(SLOW)) and not long' $(ARGUMENTS)

.PHONY: test-long
test-long: as-root install-dev image ## the long forms of the slow suites
	$(PYTHON) -m pytest -q -m long $(ARGUMENTS)

.PHONY: check
check: .venv/.dev ## format, lint, types, floors of the house, dependencies, dead code, produced pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(PYTHON) scripts/dead_code.py
	$(PYTHON) scripts/reference.py --check

.PHONY: docs
docs: .venv/.dev ## write the reference pages anew from the code
	$(PYTHON) scripts/reference.py

.PHONY: bench
bench: as-root system-bench install-dev image ## measure, print medians and write them to bench-results/
	$(PYTHON) benchmarks/run.py $(ARGUMENTS)

.PHONY: lock
lock: .venv/.dev ## resolve the dependencies anew: requirements*.txt and package-lock.json
	scripts/lock.sh

.PHONY: clean
clean: ## remove what was installed and built here; STATE stays
	rm -rf build .venv node_modules src/*.egg-info src/sekisho/portal/static/vendor src/sekisho/gateway/static/vendor bench-results
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

.PHONY: as-root
as-root:
	@[ "$$(id -u)" = 0 ] || { echo 'This needs root: rooms are made of namespaces, mounts and cgroups. Try: sudo make $(MAKECMDGOALS)' >&2; exit 1; }

.PHONY: install
install: system .venv/.run $(VENDOR)

.PHONY: install-dev
install-dev: system-dev .venv/.dev $(VENDOR)

.PHONY: image
image: .venv/bin/sekisho
	@for image in $(IMAGES); do $(BIN)/sekisho image build $$image; done

# The apt packages: looked at each time (it takes no time), installed only when one is missing.
.PHONY: system system-dev system-bench
system:
	@scripts/install-system.sh
system-dev:
	@scripts/install-system.sh --test
system-bench:
	@scripts/install-system.sh --bench

.venv/.run: requirements.txt requirements-build.txt pyproject.toml | system
	scripts/install-python.sh requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements-build.txt pyproject.toml | system-dev
	scripts/install-python.sh requirements-dev.txt
	@touch $@ .venv/.run

.venv/bin/sekisho: | .venv/.run

$(NPM_DONE): package.json package-lock.json | system
	npm ci --ignore-scripts
	@touch $@

$(VENDOR) &: $(NPM_DONE) scripts/install-assets.sh
	scripts/install-assets.sh

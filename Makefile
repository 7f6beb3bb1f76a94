# Everything that a fresh machine needs: `make demo` and `make test` are the only two commands to know.
SHELL := /bin/sh
.SUFFIXES:

# the newest Python that the lock file covers; `make PYTHON=/usr/bin/python3.12 ...` chooses another
PYTHON ?= $(shell scripts/find-python)
TOOLS := .tools
UV ?= $(shell command -v uv 2>/dev/null || echo $(TOOLS)/bin/uv)
RUN := $(UV) run --no-sync
STAMP := .venv/.fairlead-synced

# never fetch an interpreter: the machine's own is used
export UV_PYTHON_DOWNLOADS := never
export UV_PYTHON := $(PYTHON)

.PHONY: help setup demo test check docs benchmark clean

help:
	@echo "make demo       the whole story, from a measured network to a container that ran"
	@echo "make test       every test that this machine can run"
	@echo "make check      ruff, mypy, import-linter"
	@echo "make docs       the documentation, into site/"
	@echo "make benchmark  how true the forecasts and the ranking are, on the lab"
	@echo "make setup      only the system packages and the Python environment"
	@echo "make clean      remove what the others made"

setup: $(STAMP)
	@scripts/system-packages

$(TOOLS)/bin/uv:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): pyproject.toml uv.lock | $(filter $(TOOLS)/bin/uv,$(UV))
	$(UV) sync --locked --compile-bytecode
	@touch $@

demo: setup
	@$(RUN) fairlead demo $(ARGS)

test: setup
	@scripts/system-packages --tests
	$(RUN) pytest $(ARGS)

check: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

docs: $(STAMP)
	$(RUN) mkdocs build --strict

benchmark: setup
	@for script in benchmarks/*.py; do echo "== $$script"; $(RUN) python "$$script" || exit $$?; done

clean:
	rm -rf .venv $(TOOLS) site dist build demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything that a fresh machine needs: `make demo` and `make test` are the only two commands to know.
# PYTHON=/usr/bin/python3.12 chooses an interpreter; ARGS="..." is handed on to the demo or to pytest.
.SUFFIXES:
.NOTPARALLEL:
.PHONY: help packages setup demo test check docs benchmark clean

BIN := .venv/bin
STAMP := .venv/.fairlead-synced

help:
	@echo "make demo       the whole story, from a measured network to a container that ran"
	@echo "make test       every test that this machine can run"
	@echo "make check      ruff, mypy, import-linter"
	@echo "make docs       the documentation, into site/"
	@echo "make benchmark  how true the forecasts and the ranking are, on the lab"
	@echo "make setup      only the system packages and the Python environment"
	@echo "make clean      remove what the others made"

$(STAMP): pyproject.toml uv.lock
	@scripts/bootstrap

packages:
	@scripts/system-packages $(PACKAGES)

setup: packages $(STAMP)

demo: setup
	@$(BIN)/fairlead demo $(ARGS)

test: PACKAGES := --tests
test: setup
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/mkdocs build --strict

benchmark: setup
	@set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done

clean:
	rm -rf .venv .tools site dist build demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

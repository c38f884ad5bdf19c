# `make demo` and `make test` work on a fresh machine: they need Python 3.11 or newer, git and make.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first of these that is 3.11 or newer; name another with: make test PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

export OMP_NUM_THREADS ?= 1

.PHONY: help demo test coverage test-lowest test-wheel lint docs animation bench fuzz faults results clean

help:
	@echo "make demo   film a household scene, and explain what happens in it"
	@echo "make test   run all tests"
	@echo "make coverage  the same, and which lines of src/ no test reaches; fails under nine in ten"
	@echo "make test-lowest  run all tests with the oldest packages that pyproject.toml admits, in .venv-lowest"
	@echo "make test-wheel   build the wheel, install it into an empty environment and run it there"
	@echo "make lint   check style, format and types"
	@echo "make docs   build the documentation site into site/, strictly"
	@echo "make animation  make the moving picture of the front page"
	@echo "make bench  measure speed; fails where a stored ratio fell"
	@echo "make fuzz   give every reader 100,000 damaged inputs"
	@echo "make faults kill, starve and damage long work, and check what is left"
	@echo "make results NAME=pvlr ROOT=data  measure a published table again, into docs/results"
	@echo "make clean  remove caches and build output"

demo: $(STAMP)
	$(BIN)/whyact demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

coverage: $(STAMP)
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term-missing:skip-covered --cov-fail-under=90

# uv alone can resolve to the lowest direct dependencies; `make test` itself always runs with the newest.
test-lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --python .venv-lowest/bin/python --resolution lowest-direct -e '.[dev]'
	.venv-lowest/bin/python -m pytest

# Six gigabytes of packages and ten minutes: apart from `make test`.
test-wheel: $(STAMP)
	WHYACT_WHEEL=1 $(BIN)/python -m pytest tests/test_wheel.py

lint: $(STAMP)
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --no-cache --check
	$(BIN)/mypy

docs: $(STAMP)
	@$(BIN)/python -c 'import mkdocstrings, material' 2>/dev/null || \
		{ if command -v uv >/dev/null 2>&1; then uv pip install --python $(BIN)/python -e '.[docs]'; \
		else $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'; fi; }
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

animation: $(STAMP)
	$(BIN)/python docs/make_animation.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks

fuzz faults: $(STAMP)
	$(BIN)/python -m robustness $@ --jobs 2

results: $(STAMP)
	$(BIN)/whyact reproduce $(NAME) $(if $(ROOT),--root $(ROOT)) --jobs 2 --out docs/results

# One install command for everything: torch and torchvision must be resolved together, or their versions clash.
$(STAMP): pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "whyact needs Python 3.11 or newer; found: $$($(or $(PYTHON),python3) --version 2>&1 | tail -n 1)." >&2; \
		echo "Install one, or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@if command -v uv >/dev/null 2>&1; then \
		set -ex; \
		[ -x $(BIN)/python ] || uv venv --python "$(PYTHON)" $(VENV); \
		uv pip install --python $(BIN)/python -e '.[dev]'; \
	else \
		set -ex; \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV); \
		$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'; \
	fi
	@touch $(STAMP)

clean:
	rm -rf build dist site demo .venv-lowest .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS := 1

.PHONY: help demo test docs lint format types pytest test-slow test-cluster test-gpu test-faults wheel-check licences sbom audit clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.installed  ## set up, then the whole way on simulated cells; ends at a report
	$(BIN)/python -m hpa_hier.demo

test: $(VENV)/.installed-dev  ## set up, then lint, types and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

docs: $(VENV)/.installed-docs  ## build the documentation, links checked: build/docs/index.html
	$(BIN)/python -m sphinx -c docs -W -n --keep-going -q . build/docs
	@echo build/docs/index.html

format: $(VENV)/.installed-dev  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-slow: $(VENV)/.installed-dev  ## the checks that take minutes
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=thorough

test-cluster: $(VENV)/.installed-dev  ## the checks of --backend on Dask, Ray and SLURM, where that is installed
	$(BIN)/python -m pip install --quiet --editable '.[dask,ray,slurm]'
	$(BIN)/python -m pytest -m cluster -n 0

test-gpu: $(VENV)/.installed-dev  ## the checks that need a CUDA device
	$(BIN)/python -m pytest -m gpu -n 0

TEST ?= test_
test-faults: $(VENV)/.installed-dev  ## every promise of docs/reliability.md by the hundred: hours
	$(BIN)/python -m pytest -m faults -n 0 tests/faults -k "$(TEST)"; status=$$?; \
	  PYTHONPATH=tests $(BIN)/python tests/faults/figures.py && exit $$status

wheel-check: $(VENV)/.installed  ## build the wheel, then install and try it on each Python from 3.11 to 3.14 found
	$(BIN)/python benchmarks/wheel.py

licences: $(VENV)/.installed-dev build/tools/.installed  ## list licences that are not simply permissive; none is the GPL
	build/tools/bin/python benchmarks/distributions.py licences --python $(BIN)/python

sbom: $(VENV)/.installed-dev build/tools/.installed  ## write a bill of materials as CycloneDX: build/sbom.json
	build/tools/bin/python benchmarks/distributions.py sbom --python $(BIN)/python --out build/sbom.json

audit: $(VENV)/.installed-dev build/tools/.installed  ## ask PyPI or OSV for known faults of what is installed
	build/tools/bin/python benchmarks/distributions.py audit --python $(BIN)/python

clean:  ## remove what tools leave behind; artifacts/ stays
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' \
	  || { echo "error: $(PYTHON) is $$($(PYTHON) --version); Python 3.11 to 3.14 is needed: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/bin/python
	# Modules are compiled when they are first imported: of 15,000 a tenth are.
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@ $(VENV)/.installed

build/tools/.installed: $(VENV)/bin/python
	$(BIN)/python -m venv build/tools
	build/tools/bin/python -m pip install --quiet pip-licenses cyclonedx-bom pip-audit
	@touch $@

# Everything runs in .venv, which `make setup` makes: with ROS 2 from pip, or on top of a sourced ROS distribution.
PYTHON ?= python3
SETUP ?= $(PYTHON) scripts/setup_environment.py
BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup setup-training demo test test-all lint types layers format licenses clean distclean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup:  ## .venv with everything that the package needs; quick when nothing changed
	@$(SETUP)

setup-training:  ## the same, and what training needs
	@$(SETUP) --training

demo: setup  ## the nodes on the bundled clip, through real topics; leaves out/demo/
	@$(BIN)/hand-pose demo --out out/demo

test:  ## lint, types, layers and the tests, a few minutes; what CI runs
	@$(SETUP) --tests
	@$(MAKE) --no-print-directory SETUP=true lint types layers
	@echo '== tests (pytest -m "not slow"; `make test-all` for all)'
	@$(PYTEST) -m 'not slow'

test-all:  ## the same with the slow tests
	@$(SETUP) --tests
	@$(MAKE) --no-print-directory SETUP=true lint types layers
	@echo '== tests (pytest, the slow ones too)'
	@$(PYTEST)

lint:  ## style: ruff's rules, and how it formats
	@$(SETUP) --checks
	@echo '== lint (ruff)'
	@$(BIN)/ruff check --output-format concise
	@$(BIN)/ruff format --check

types:  ## types of the runtime: mypy
	@$(SETUP) --checks
	@echo '== types (mypy)'
	@$(BIN)/mypy

layers:  ## imports go down the layers: import-linter
	@$(SETUP) --checks
	@echo '== layers (import-linter)'
	@$(BIN)/lint-imports --no-logo

format:  ## correct what ruff can correct
	@$(SETUP) --checks
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

licenses: setup  ## licenses of all dependencies and models, and a CycloneDX list: out/licenses/bom.cdx.json
	@$(BIN)/python scripts/licenses.py

clean:  ## remove what was built and written; .venv stays
	rm -rf out build install log *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## the same, and .venv
	rm -rf .venv

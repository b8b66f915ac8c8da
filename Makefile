# Everything runs in .venv, which `make setup` makes: with ROS 2 from pip, or on top of a sourced ROS distribution.
PYTHON ?= python3
SETUP := $(PYTHON) scripts/setup_environment.py
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-training demo test clean distclean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup:  ## .venv with everything that the package needs; quick when nothing changed
	@$(SETUP)

setup-training:  ## the same, and what training needs
	@$(SETUP) --training

demo: setup  ## the nodes on the bundled clip, through real topics; leaves out/demo/
	@$(BIN)/hand-pose demo --out out/demo

test:  ## the whole test suite
	@$(SETUP) --training-optional
	@$(BIN)/python -m pytest

clean:  ## remove what was built and written; .venv stays
	rm -rf out build install log *.egg-info .pytest_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## the same, and .venv
	rm -rf .venv

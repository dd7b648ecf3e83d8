# Every target sets up what it needs: a virtual environment in .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUTPUTS ?= outputs
RECIPE ?= all
OVERRIDES ?=
# Test files at once: most of a test is waiting for processes to begin and to end.
WORKERS ?= 2

# BUDGET=smoke: one seed and two epochs, where an arm asks for no number of its own, into a folder of
# its own: shows that everything runs; it is a variant of every recipe, so no verdict of it enters
# reproduction.csv.
BUDGET ?= full
SMOKE := seeds=1 train.epochs=2

.DEFAULT_GOAL := help
.PHONY: help setup dev reproduce sweep compare report list test lint check bench schema pages clean

help:  ## show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## make .venv and install sweeper into it

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

dev: $(VENV)/.dev

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.ready

reproduce: setup  ## run every documented experiment; BUDGET=smoke for a quick look
ifeq ($(BUDGET),smoke)
	$(BIN)/sweeper run all $(SMOKE) --outputs $(OUTPUTS)/smoke
else
	$(BIN)/sweeper run all --outputs $(OUTPUTS)
endif

sweep: setup  ## run RECIPE=name [OVERRIDES="optim.lr=0.03 seeds=10"]
	$(BIN)/sweeper run $(RECIPE) $(OVERRIDES) --outputs $(OUTPUTS)

compare: setup  ## rebuild the tables of RECIPE=name from the store
	$(BIN)/sweeper compare $(RECIPE) --outputs $(OUTPUTS)

report: setup  ## write a page for RECIPE=name, or for all, with its figures
	$(BIN)/sweeper report $(RECIPE) --outputs $(OUTPUTS)

list: setup  ## list the recipes
	$(BIN)/sweeper list

test: dev  ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone

lint: dev  ## ruff, mypy, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

check: lint test  ## what CI runs

bench: dev  ## measure overhead, start-up, the store and busy slots (benchmarks/README.md)
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/uneven.py

schema: setup  ## renew recipes/schema.json
	$(BIN)/python -c 'import json; from sweeper.recipe_file import json_schema; print(json.dumps(json_schema(), indent=1, sort_keys=True))' > recipes/schema.json

pages: setup  ## write docs/recipes and the README's table from a full reproduction
	$(BIN)/sweeper report all --outputs $(OUTPUTS) > /dev/null
	$(BIN)/python docs/pages.py $(OUTPUTS)

clean:  ## remove caches and builds; outputs and .venv stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

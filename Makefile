# Vitrine: `make` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-containers lint types check lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip rather than another installer: it honours wheel folders and indexes configured on the machine.
$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP)  ## make .venv with the pinned dependencies and the command `vitrine`

demo: install  ## draw a small catalogue, index it, run three searches
	$(BIN)/vitrine demo

serve: install  ## serve the API on 127.0.0.1:8000
	$(BIN)/vitrine serve

test: install  ## run the whole test suite
	$(BIN)/python -m pytest -n auto --dist loadfile

test-containers: install  ## the store contracts on Qdrant and MinIO in containers (needs a Docker engine)
	$(BIN)/python -m pytest -m containers

lint: install  ## ruff, checks and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## mypy --strict on the packages
	$(BIN)/mypy

check: lint types test  ## everything that CI runs

lock: install  ## write requirements.lock from what pyproject.toml resolves to today
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager torch==2.13.0 -e '.[training,clustering,dev]'
	$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$$//' > requirements.lock

clean:  ## remove what the demo made (not .venv)
	rm -rf demo-output vitrine-data

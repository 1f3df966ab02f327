# Every target sets up what it needs in .venv, from nothing but make and Python 3.11 to 3.13, and says so.
# The second time the set-up costs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INPUTS := pyproject.toml constraints.txt
PACKAGES := agent processors api deploy

.PHONY: help up test check bench chaos soak clean

help:
	@echo 'make up DIR=… [ARGS=…]  the whole system on this machine, watching DIR (ARGS: fswire up --help)'
	@echo 'make test [ARGS=…]      unit tests, then integration tests on real servers (ARGS go to pytest)'
	@echo 'make check              format, lint, types, import directions'
	@echo 'make bench              every benchmark, a table each'
	@echo 'make chaos [ARGS=…]     500,000 events through processes that are killed at random (ARGS: --seed, --events)'
	@echo 'make soak [ARGS=…]      ten minutes of subscribers that come and go while agents and workers are killed'
	@echo 'make clean              remove .venv and what the tools left'

# DIR may hold spaces: the shell gets it through the environment.
up: export FSWIRE_MAKE_DIR := $(DIR)
up: .venv/local.stamp
	@exec $(BIN)/fswire up $${FSWIRE_MAKE_DIR:+"$$FSWIRE_MAKE_DIR"} $(ARGS)

test: .venv/test.stamp
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),tests/unit tests/integration)

check: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports

bench: .venv/test.stamp .venv/quix.stamp
	$(BIN)/python -m tests.benchmarks $(ARGS)

chaos: .venv/test.stamp
	$(BIN)/python -m tests.chaos $(ARGS)

soak: .venv/test.stamp
	$(BIN)/python -m tests.soak $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n '$(PYTHON)' || { echo 'fswire needs Python 3.11, 3.12 or 3.13; set PYTHON=…' >&2; exit 1; }
	@echo "== making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

# Quix Streams wants older libraries than fswire: the benchmarks' peer has an environment of its own.
.venv/quix.stamp: tests/benchmarks/quix.txt | .venv/bin/python
	@echo '== installing what tests/benchmarks/quix.txt names into .venv/quix'
	@$(BIN)/python -m venv .venv/quix
	@.venv/quix/bin/python -m pip install --disable-pip-version-check --progress-bar=on -r $<
	@touch $@

.venv/%.stamp: $(INPUTS) | .venv/bin/python
	@echo '== installing fswire[$*] and its dependencies into .venv, versions from constraints.txt'
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar=on -c constraints.txt -e '.[$*]'
	@touch $@

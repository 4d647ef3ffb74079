# Every target works from a fresh clone, as root or not, in any folder; only the first installation needs a network.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Paths are relative: the checkout's own path may hold a space.
BIN := .venv/bin
STAMP := .venv/installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test lint bench torture clean

help: ## Explain the targets (this text).
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## Make .venv with everything, at pinned versions.

demo: $(STAMP) ## Ask the Python standard library's documentation, on the embedded database.
	@$(BIN)/semsearch demo

# Three at once, for they wait more than they compute: on two cores 9 minutes instead of 20.
test: $(STAMP) ## Run the tests, with a gate on coverage.
	@$(BIN)/python -m pytest -n 3 --cov --cov-report=term

lint: $(STAMP) ## Check style, types and import rules.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP) ## Run the benchmarks (minutes).
	@$(BIN)/python -m tests.benchmarks

# Half an hour of chaos by default: make torture SECONDS=60
torture: SECONDS := 1800
torture: $(STAMP) ## Kill workers and servers for SECONDS (1800), and try every harmful change (20 minutes).
	@TORTURE=1 $(BIN)/python -m pytest tests/faults/test_mutants.py tests/faults/test_machine.py tests/faults/test_chaos.py
	@$(BIN)/python -m tests.faults.chaos --seconds $(SECONDS)
	@$(BIN)/python -m tests.faults.chaos --seconds 300 --model sentence-transformers:all-MiniLM-L6-v2

clean: ## Remove what the other targets made here; your databases stay.
	@rm -rf .venv build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first python3 that is new enough; PYTHON=... chooses another.
$(STAMP): pyproject.toml constraints.txt
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 none; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then \
	    echo "semsearch needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then \
	    echo "$$python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	"$$python" -m venv .venv
# pip learnt to install dependency groups in 25.1; the pip of a bare machine may be older.
	@$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	@$(BIN)/python -m pip install -c constraints.txt -e '.[demo,files,mcp,parquet,serve]' --group dev
	@touch $(STAMP)

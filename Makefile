# What can be done here: make help
VENV ?= .venv
BIN := $(VENV)/bin

# On CI every test runs; elsewhere `make test` leaves out the slow ones.
FAST := $(if $(filter true,$(CI)),,-m "not slow")

# Processes that share the tests out among them, a file at a time; 0 for none, to debug.
WORKERS ?= 2
SHARED := -n $(WORKERS) --dist loadfile

.PHONY: help venv venv-demo demo demo-ref ui test test-all lint format bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]*:.*## / {printf "%-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo 'ARGS="..." is passed on: make demo ARGS="--help", make test ARGS="-k store"'

venv: ## make .venv, or bring it up to date; PYTHON=... chooses the interpreter
	@scripts/make_venv $(VENV) dev climate-ref

venv-demo:
	@scripts/make_venv $(VENV)

demo: venv-demo ## run the demo diagnostics
	$(BIN)/climate-ref-prefect demo $(ARGS)

demo-ref: venv ## have climate-ref solve real diagnostics through this package, on made data (Python >= 3.12)
	$(BIN)/python -m tests.ref.demo $(ARGS)

ui: venv-demo ## start a server with its user interface
	$(BIN)/climate-ref-prefect server $(ARGS)

test: lint ## all checks, and the tests that are not slow (all of them with CI=true)
	$(BIN)/python -m pytest $(SHARED) $(FAST) $(ARGS)

test-all: lint ## all checks and all tests
	$(BIN)/python -m pytest $(SHARED) $(ARGS)

lint: venv ## ruff, mypy and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv ## have ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv-demo ## measure what an execution costs beside other programs
	$(BIN)/python -m benchmarks.peers $(ARGS)

clean: ## remove environments, builds and caches; results stay
	rm -rf .venv .venv-* build dist src/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make setup | study | search | test | test-all | test-ui | lint | ui | dashboard | bench: everything runs in .venv, which is made on first use.
# make test: lint, types and the tests of the main path, in minutes; make test-all: every test, also those marked slow.
PYTHON ?= python3
STUDY  ?= studies/quickstart.yaml
STORE  ?= mlruns
WORKERS ?= 1

BIN = .venv/bin
PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder
OPTIONS = --store $(STORE) $(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--set base.weights=$(WEIGHTS)) $(ARGS)

.PHONY: setup study search bench bench-search bench-statistics bench-gpu plan report ui dashboard test test-all test-gpu test-ui chaos lint clean

setup: .venv/installed

.venv/installed: pyproject.toml .constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt --editable '.[dev]'
	@touch $@

study: setup
	$(BIN)/harness run $(STUDY) $(OPTIONS)

search: setup
	$(BIN)/harness search $(STUDY) --workers $(WORKERS) $(OPTIONS)

plan: setup
	@$(BIN)/harness plan $(STUDY) $(OPTIONS)

report: setup
	$(BIN)/harness report $(STUDY) $(OPTIONS)

ui: setup
	$(BIN)/harness ui --store $(STORE)

bench-search: setup
	$(BIN)/python -m tests.bench.pruning --out $(STORE)/bench $(ARGS)

dashboard: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt --editable '.[dashboard]'
	$(BIN)/optuna-dashboard --host 127.0.0.1 sqlite:///$(abspath $(STORE))/optuna.db

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt --editable '.[bench]'
	$(BIN)/python -m tests.bench.run --store $(STORE) $(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(ARGS)

bench-statistics: setup
	$(BIN)/python -m tests.bench.error_rates $(ARGS)
	$(BIN)/python -m tests.bench.coverage $(ARGS)
	$(BIN)/python -m tests.bench.nested_coverage $(ARGS)

bench-gpu: setup
	$(BIN)/python -m tests.bench.run --only gpu --minutes 5 --store $(STORE) $(if $(DATA),--data $(DATA)) $(ARGS)

test-gpu: setup
	$(BIN)/python -m tests.gpu.check --out $(STORE)/gpu $(ARGS)

chaos: .venv/installed-dev
	$(BIN)/python -m tests.faults.chaos $(ROWS)

test: lint
	$(PYTEST) -m 'not slow'

test-all: lint
	$(PYTEST) $(if $(WITHOUT),-m 'not $(WITHOUT)')

test-ui: .venv/installed-dev
	$(BIN)/python -m pytest -m ui -rs

lint: .venv/installed-dev
	$(BIN)/ruff format --check harness tests
	$(BIN)/ruff check harness tests
	$(BIN)/mypy

clean:
	rm -rf .venv

# Every target sets up what it needs; nothing but Python 3.11 has to be there.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test test-long check format bench clean

setup: .venv/.installed  ## Make .venv with the package and all that the demo and the tests need.

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	touch $@

demo: setup  ## Train a model for real and talk to it.
	$(BIN)/tunery demo

check: setup  ## Format, lint, types and import rules.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests scripts benchmarks
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check  ## Everything that CI runs.
	$(BIN)/pytest -m 'not e2e and not long and not gpu'
	$(BIN)/pytest -m 'e2e and not long and not gpu'

test-long: setup  ## What takes too long for every push.
	$(BIN)/pytest -m 'long and not gpu'

bench: setup  ## Speed as ratios against named rivals.
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .venv-* build

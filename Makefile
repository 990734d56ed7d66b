# Every target sets up what it needs; nothing but Python 3.11 has to be there.
PYTHON ?= python3.11
BIN := .venv/bin
# The stock clients that the server is held to, each in an environment of its own.
OPENAI_VERSIONS := 1.109.1 2.54.0 3.52.0
OPENAI_ENVIRONMENTS := $(OPENAI_VERSIONS:%=.venv-openai-%/.installed)
SCALE_VERSIONS := 0.1.0a62
SCALE_ENVIRONMENTS := $(SCALE_VERSIONS:%=.venv-scale-gp-%/.installed)

.PHONY: setup demo demo-image test test-long check format bench bench-search bench-gpu clean

setup: .venv/.installed $(OPENAI_ENVIRONMENTS) $(SCALE_ENVIRONMENTS)  ## Make .venv with the package and all that the demo and the tests need.

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	touch $@

.venv-openai-%/.installed:
	$(PYTHON) -m venv .venv-openai-$*
	.venv-openai-$*/bin/python -m pip install --quiet openai==$*
	touch $@

.venv-scale-gp-%/.installed:
	$(PYTHON) -m venv .venv-scale-gp-$*
	.venv-scale-gp-$*/bin/python -m pip install --quiet scale-gp==$*
	touch $@

demo: .venv/.installed  ## Train a model for real and talk to it.
	$(BIN)/tunery demo

demo-image: .venv/.installed  ## Teach an image model a shape, and see what it draws.
	$(BIN)/tunery demo --images

check: .venv/.installed  ## Format, lint, types and import rules.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests scripts benchmarks examples
	$(BIN)/lint-imports

format: .venv/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup check  ## Everything that CI runs.
	$(BIN)/pytest -m 'not e2e and not long and not gpu'
	$(BIN)/pytest -m 'e2e and not long and not gpu'

test-long: setup  ## What takes too long for every push.
	$(BIN)/pytest -m 'long and not gpu'

bench: .venv/.installed  ## Speed as ratios against named rivals; some 40 minutes, and nothing else should run.
	$(BIN)/python -m benchmarks

bench-search: .venv/.installed  ## The settings in which the rivals of `make bench` are fastest; 15 minutes.
	$(BIN)/python -m benchmarks.search

bench-gpu: .venv/.installed  ## The same on an NVIDIA GPU, with the kernels that help there.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev,cuda]'
	$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf .venv .venv-* build

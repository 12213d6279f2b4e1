# Each target makes its own environment in .venv; Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TORCH = 2.13.0

.PHONY: demo test lint clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

# Several processes, of one thread each: they have the cores.
test: $(VENV)/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The CPU build where the index has one under its own name; else the version as it stands.
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "torch==$(TORCH)+cpu" || $(BIN)/pip install --quiet "torch==$(TORCH)"
	touch $@

$(VENV)/.demo: $(VENV)/.torch setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.test: $(VENV)/.torch setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) demo-out build *.egg-info .pytest_cache .mypy_cache .ruff_cache

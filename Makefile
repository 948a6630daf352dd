# The two commands are `make demo` and `make test`; both make the environment first if needed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# TensorFlow for this machine's processor; EXTRA=gpu installs the build for NVIDIA GPUs.
EXTRA ?= $(shell command -v nvidia-smi > /dev/null 2>&1 && echo gpu || echo cpu)

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(BIN)/python pipelines/mobiiris.py pipelines/demo.yaml

test: $(VENV)/installed
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check iris_tf pipelines tests

# The stamp appears only after a whole installation, so an interrupted one is repeated.
$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable ".[$(EXTRA),test]"
	touch $@

clean:
	rm -rf $(VENV) runs

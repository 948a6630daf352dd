# The two commands are `make demo` and `make test`; both make the environment first if needed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Open-Iris pins old versions of NumPy and OpenCV, so it has an environment of its own.
OPEN_IRIS_VENV := .venv-open-iris
OPEN_IRIS_BIN := $(OPEN_IRIS_VENV)/bin
# What needs Open-Iris, and a sample of what depends most on the versions it brings.
OPEN_IRIS_TESTS := tests/open_iris tests/imaging/test_geometry.py tests/support/test_files.py \
	tests/segmentation/test_roi_modes.py tests/segmentation/test_opencv_segmenter.py \
	tests/imaging/test_images.py tests/data/test_manifest.py \
	tests/training/test_augmentation.py tests/networks/test_batch_normalization.py \
	tests/training/test_embedding_trainer.py \
	tests/exporting/test_export_tflite.py tests/tflite/test_tflite_embedder.py
# TensorFlow for this machine's processor; EXTRA=gpu installs the build for NVIDIA GPUs.
EXTRA ?= $(shell command -v nvidia-smi > /dev/null 2>&1 && echo gpu || echo cpu)

.PHONY: demo test fuzz docs lint clean android-tools android-check arm-tools arm-check web web-check

demo: $(VENV)/installed
	$(BIN)/python pipelines/mobiiris.py pipelines/demo.yaml

# Checks which room imports which, and types, first; then runs the examples in docstrings. Two
# tests at a time, each file's tests in one process: most of them keep one core busy. In the order
# of their names: the longest files have few tests, and would be left to the end.
test: $(VENV)/installed $(OPEN_IRIS_VENV)/installed
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/python -m pytest --doctest-modules $$(grep -rl '>>>' iris_tf --include='*.py')
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(OPEN_IRIS_BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
		$(OPEN_IRIS_TESTS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Damaged and hostile files of every format that is read, 10,000 of each; takes a night. SEED=7 tries
# others, FORMATS="weights card" some formats only.
SEED ?= 0
fuzz: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m fuzz $(SEED) $(FORMATS)

# The documentation site, into build/docs; a broken link or reference is an error.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(VENV)/installed
	$(BIN)/ruff check iris_tf pipelines tests examples
	$(BIN)/ruff format --check iris_tf pipelines tests examples
	$(BIN)/mypy

# Compiles and tests the Android demo without Gradle and says which tools are missing; compares
# with Python where this interpreter has the package.
DEMO_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

android-tools:
	ANDROID_PYTHON=$(DEMO_PYTHON) android_demo/check/tools.sh

android-check:
	$(DEMO_PYTHON) android_demo/check/android_check.py

# The released models on emulated 64-bit Arm against this machine; FILES="a.tflite ..." takes others.
arm-tools:
	ANDROID_PYTHON=$(DEMO_PYTHON) android_demo/check/arm_tools.sh

arm-check:
	$(DEMO_PYTHON) android_demo/check/arm_check.py $(FILES)

# The page for browsers, into web_demo/dist: needs Node.js from 20 on and a JDK from 17 on.
web:
	cd web_demo && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress; }
	cd web_demo && npm run build
	@echo "Built: iris-tf serve web_demo/dist opens it."

# Types, style, unit tests, and the page in Chromium against Python; says which tools are missing.
web-check:
	$(DEMO_PYTHON) web_demo/check/web_check.py

# The stamp appears only after a whole installation, so an interrupted one is repeated.
$(VENV)/installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable ".[$(EXTRA),gallery,test,docs]"
	touch $@

$(OPEN_IRIS_VENV)/installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(OPEN_IRIS_VENV)
	$(OPEN_IRIS_BIN)/python -m pip install --quiet --upgrade pip
	$(OPEN_IRIS_BIN)/python -m pip install --editable ".[$(EXTRA),open-iris,test]"
	touch $@

clean:
	rm -rf $(VENV) $(OPEN_IRIS_VENV) runs

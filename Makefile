# make demo: from a fresh clone to a registered pair in demo-output/
# make test, make lint: what .ci/run calls
# make lists: rewrite the explicit file lists after adding or removing a file
# make clean: remove what these make

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_OUTPUT ?= demo-output
PYTEST_ARGS ?=

# Idle OpenMP threads sleep instead of spinning (ten times faster beside another busy process); no screen is needed.
export OMP_WAIT_POLICY ?= PASSIVE
export QT_QPA_PLATFORM ?= offscreen
export VTK_DEFAULT_OPENGL_WINDOW ?= vtkEGLRenderWindow
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint lists clean graphics

demo: $(VENV)/.demo graphics
	$(BIN)/python -m DeepMultiModalRegLib demo --out $(DEMO_OUTPUT)

test: $(VENV)/.test graphics
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .

lists:
	$(PYTHON) Testing/file_lists.py

clean:
	rm -rf $(VENV) $(DEMO_OUTPUT) .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name "*.egg-info" -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "DeepMultiModalReg needs Python 3.11 or later; '$(PYTHON)' is older. Say which: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One pip command with every pin, then the package itself (editable, so that the environment never lags behind the tree).
$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements/demo.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.demo
	$(BIN)/python -m pip install --quiet -r requirements/test.txt
	touch $@

# Slicer's own views are drawn off screen through EGL (pictures of the demo, image tests).
# The others are what PySide6, on which the panel is tested, loads.
GRAPHICS := libegl1 libgl1-mesa-dri libgl1 libdbus-1-3 libfontconfig1 libxkbcommon0 libglib2.0-0
graphics:
	@if command -v dpkg >/dev/null && dpkg -s $(GRAPHICS) >/dev/null 2>&1; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(GRAPHICS) >/dev/null; then exit 0; fi; \
	echo "Pictures of Slicer views need off-screen OpenGL: install it by 'sudo apt-get install $(GRAPHICS)'" \
	  "(or your system's EGL and Mesa packages). Going on with what there is."

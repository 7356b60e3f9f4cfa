# Each target sets up .venv by itself and is quick when nothing has changed.
#   make run     the dashboards on the embedded data
#   make test    everything that proves it       make lint    ruff, mypy, layers
#   make bench   ours beside a peer              make proof   statistical proof      make soak   endurance
#   make minutes the first five, timed           make release rehearsed: built, installed elsewhere, asked
#   make docs    the documentation's site

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
NOTEBOOKS := $(wildcard notebooks/*.ipynb dashboards/*.ipynb)

.DEFAULT_GOAL := run
.PHONY: run test lint bench proof soak docs screens minutes release constraints clean

# uv installs in seconds what takes pip minutes; where uv cannot reach the registry as pip is set up to, pip does it.
# Unlike pip it leaves the bytecode to Python; where Python is told to write none, every process would compile anew the
# thousands of modules that it imports, which is half the time of a cold report. Tests start some hundred processes, so
# here Python writes it, quantkit's own included, whatever it is told elsewhere.
unexport PYTHONDONTWRITEBYTECODE
BYTECODE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)

define install
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "quantkit needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing quantkit and what it stands on into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install --quiet $(BYTECODE) --python $(BIN)/python -c constraints.txt -e '.$(EXTRAS)' || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(EXTRAS)'
	@touch $@
endef

$(VENV)/.run: EXTRAS :=
$(VENV)/.run: pyproject.toml constraints.txt
	$(install)

$(VENV)/.dev: EXTRAS := [test,lint]
$(VENV)/.dev: pyproject.toml constraints.txt
	$(install)
	@touch $(VENV)/.run

$(VENV)/.docs: EXTRAS := [docs]
$(VENV)/.docs: pyproject.toml constraints.txt
	$(install)

run: $(VENV)/.run
	@$(BIN)/quantkit up

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify $(NOTEBOOKS)

# Three at a time on two cores: many tests wait for real processes and browsers. A busy machine can starve these: one that
# fails is asked twice more, and the summary says so.
test: $(VENV)/.dev
	$(BIN)/pytest -q -n 3 --dist loadscope --no-loadscope-reorder --reruns 2 --reruns-delay 3 -r R
	home=$$(mktemp -d) && QUANTKIT_HOME=$$home $(BIN)/pytest -q -n 2 --dist loadfile --nbval-lax $(NOTEBOOKS); status=$$?; \
		rm -rf $$home; exit $$status

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

proof: $(VENV)/.dev
	$(BIN)/pytest -q -m proof

soak: $(VENV)/.dev $(VENV)/.docs
	$(BIN)/pytest -q -m soak

# The lessons are executed; what they print is kept under build/ for as long as the code that computes is the same.
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

screens: $(VENV)/.dev
	$(BIN)/python tools/screens.py

minutes: $(VENV)/.dev
	$(BIN)/python tools/first_minutes.py

release: $(VENV)/.dev
	$(BIN)/python tools/release.py

# Pins every version, by name; kept pins stay where they still fit. The condition that all share (pyproject.toml says
# where the pins hold) is taken off each line.
EVERYWHERE := ((platform_machine == 'arm64' and sys_platform == 'darwin') or sys_platform == 'linux' or sys_platform == 'win32')
constraints: $(VENV)/.dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate \
		--no-emit-index-url pyproject.toml tools/pins.in -o constraints.txt
	sed -i.old -e "s/ and $(EVERYWHERE)//" -e "s/python_full_version < '3.15' and //" \
		-e "s/ ; python_full_version < '3.15'$$//" -e "s/ and python_full_version < '3.15'//" constraints.txt
	rm constraints.txt.old

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache screenshots

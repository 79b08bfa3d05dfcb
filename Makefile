# Needs Python 3.11 or newer with its venv module, and make. Everything goes into .venv.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check docs package clean

demo: $(READY)  ## draw portraits, train a few minutes, translate, write demo/index.html
	@$(BIN)/cluit demo

test: check  ## everything that .ci/run asks for
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -q

check: $(READY)  ## style, types and which way imports go
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## the site, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "the site begins at site/index.html"

package: $(READY)  ## sdist and wheel in dist/; the wheel is tried by itself in an empty environment
	rm -rf dist
	$(BIN)/python -m build --quiet
	.ci/try-package '$(PYTHON)' '$(TORCH)'

$(READY): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "cluit needs Python 3.11 or newer; name one, for instance: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@echo "installing into $(VENV): a minute or two, longer where PyTorch has to be downloaded"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet $(TORCH) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

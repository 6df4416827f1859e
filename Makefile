PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin

.PHONY: demo test mutants install clean

demo: $(VENV)/.installed ## record, pretrain, fine-tune, benchmark; prints the table and the report's path
	PATH="$(BIN):$$PATH" runs/laptop.sh out/demo

test: $(VENV)/.tested-with ## lint, types, fast tests
	$(BIN)/ruff check .
	PATH="$(BIN):$$PATH" $(BIN)/pyright
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

mutants: $(VENV)/.tested-with ## wrong lines that no test notices; MUTANTS=40 of each module, MODULES="rl/ppo.py"
	$(BIN)/python -m tools.mutants $(if $(MUTANTS),--mutants $(MUTANTS)) $(MODULES)

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tested-with: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info

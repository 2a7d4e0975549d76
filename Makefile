# Two commands need nothing but Python 3.11 and the network: `make demo` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export AIRLOCK_HOME ?= $(CURDIR)/.airlock
# Bytecode halves Airflow's start-up; some container images switch it off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up down status test soak bench lint clean

demo: $(VENV)/.installed
	$(BIN)/airlock demo

up: $(VENV)/.installed
	$(BIN)/airlock up

down:
	$(BIN)/airlock down

status:
	$(BIN)/airlock status

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m soak -s

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/run_all.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy airlock && $(BIN)/lint-imports

# Compiled once after the install: every task starts a Python of its own.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv
	@echo "Installing Airlock and what it stands on (about 3 GB, a minute or two) …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --compile-bytecode --config-settings editable_mode=compat -e '.[all]'
	@touch $@

# PyTorch by pip: a site may keep a build without CUDA where pip looks and uv does not.
$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --compile-bytecode --config-settings editable_mode=compat -e '.[dev]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --compile-bytecode --config-settings editable_mode=compat -e '.[bench]'
	@touch $@

clean:
	-$(BIN)/airlock down
	rm -rf $(VENV) .airlock build dist *.egg-info

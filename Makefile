# Requires Python >= 3.11 and make. The environment is created once and kept until the files that
# define it change: pyproject.toml and constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Modules are compiled when they are first imported: most of those of the backends never are.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
MADE_FROM := pyproject.toml constraints.txt

.PHONY: help demo test test-slow check bench clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo       Train, evaluate, reopen and export a small detector.'
	@echo 'make test       Run the tests on all backends: under 25 minutes on two cores.'
	@echo 'make test-slow  Run the tests marked slow: every card, training, export.'
	@echo 'make check      Check format, lint, types, imports and terms, then run all tests.'
	@echo 'make bench      Run the benchmarks that need no other data: about an hour.'
	@echo 'make clean      Remove the environment and caches of tools; keep runs/.'
	@echo 'Each target except clean first creates the environment in $(VENV), if needed.'

demo: $(VENV)/demo.stamp
	@$(BIN)/visiongarden demo

test: $(VENV)/test.stamp
	@VENV=$(VENV) scripts/check terms imports tests backends

test-slow: $(VENV)/test.stamp
	@VENV=$(VENV) scripts/check slow

check: $(VENV)/test.stamp
	@VENV=$(VENV) scripts/check

bench: $(VENV)/test.stamp
	@$(BIN)/python -m benchmarks.all

# The stamp is touched in the last line of its recipe, so that an interrupted setup runs again.
$(VENV)/demo.stamp: $(MADE_FROM)
	@echo '== environment: create $(VENV) with TensorFlow and the export tools (some minutes)'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) -e '.[tensorflow-cpu,export]'
	@touch $@

$(VENV)/test.stamp: $(MADE_FROM)
	@echo '== environment: create $(VENV) with all backends and the test tools (some minutes)'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) -e '.[tensorflow-cpu,jax,torch,export,tensorboard,dev]'
	@touch $(VENV)/demo.stamp $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Needs Python >= 3.11 and make. The environment is made once and kept until what it is made from
# changes: pyproject.toml and constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
MADE_FROM := pyproject.toml constraints.txt

.PHONY: help demo test test-slow check bench clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo   set up, then train, judge, reopen and export a small detector'
	@echo 'make test   set up, then run the tests on all backends: under 25 minutes on two cores'
	@echo 'make test-slow  set up, then run the tests marked slow: every card, training, export'
	@echo 'make check  format, lint and types, then test and test-slow'
	@echo 'make bench  as test, then what benchmarks/README.md tells of: about an hour'
	@echo 'make clean  remove the environment and what tools leave behind; keeps runs/'

demo: $(VENV)/demo.stamp
	$(BIN)/visiongarden demo

test: $(VENV)/test.stamp
	VENV=$(VENV) scripts/check tests backends imports

test-slow: $(VENV)/test.stamp
	VENV=$(VENV) scripts/check slow

check: $(VENV)/test.stamp
	VENV=$(VENV) scripts/check

bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks.all

# The recipe of a stamp runs again after it was interrupted: the stamp is its last line.
$(VENV)/demo.stamp: $(MADE_FROM)
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[tensorflow-cpu,export]'
	touch $@

$(VENV)/test.stamp: $(MADE_FROM)
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[tensorflow-cpu,jax,torch,export,tensorboard,dev]'
	touch $(VENV)/demo.stamp $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything a newcomer needs: `make demo` and `make test`. Both make .venv
# first; nothing but Python 3.10 or newer and make has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := work_dirs/demo

.PHONY: help install demo test docs clean

help:
	@echo "make install  create $(VENV) with the pipeline command in it"
	@echo "make demo     synthetic recordings -> backbones -> SA-DVAE -> report"
	@echo "make test     run the tests"
	@echo "make docs     build the documentation in build/docs"
	@echo "make clean    remove $(VENV) and work_dirs"

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,demo]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/pipeline demo-data $(DEMO)/raw
	$(BIN)/pipeline extract demo --raw $(DEMO)/raw
	$(BIN)/pipeline fit demo
	$(BIN)/pipeline report demo
	@echo "open $(DEMO)/report/report.html"

test: $(INSTALLED)
	$(BIN)/python -m pytest

docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) work_dirs

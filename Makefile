# Everything a newcomer needs: `make demo` and `make test`. Both make .venv
# first; nothing but Python 3.10 or newer and make has to be there. For who
# changes the code: `make check` and `make smoke`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEV := $(VENV)/.dev
PACKAGES := data extractors zsl pipeline
DIST := build/dist
DEMO := work_dirs/demo

CHROMIUM ?= chromium
# Tests that run at a time: one a core, of many cores the first 4, since each takes up to
# 3 GB (WORKERS=16 takes 16). A file's tests stay together, for what they share.
WORKERS ?= logical
PYTEST := pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help install demo pictures test lint check wheel smoke docs clean

help:
	@echo "make install  create $(VENV) with the pipeline command in it"
	@echo "make demo     synthetic recordings -> backbones -> methods -> report"
	@echo "make pictures make demo, and the pictures of README and docs from it; needs a Chromium"
	@echo "make test     run the tests; with COVERAGE=1 say what they reach"
	@echo "make lint     ruff and mypy"
	@echo "make check    make lint and make test COVERAGE=1"
	@echo "make wheel    wheel and source distribution in $(DIST), checked to be whole"
	@echo "make smoke    the wheel in a clean environment, through a small demo"
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

$(DEV): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/pipeline demo-data $(DEMO)/raw
	$(BIN)/pipeline extract demo --raw $(DEMO)/raw
	$(BIN)/pipeline fit demo
	$(BIN)/pipeline fit demo --method recommended
	$(BIN)/pipeline report demo
	@echo "open $(DEMO)/report/report.html"

pictures: demo
	$(BIN)/pipeline predict $(DEMO) $(DEMO)/raw/S031C002P003R001A009.skeleton \
		--label "wave both hands" --label "raise right arm sideways" \
		--label "kick forward with right leg" --label "bend upper body to the left" \
		--gif docs/answer.gif
	$(BIN)/pipeline inspect $(DEMO)/raw --clip S031C001P003R001A009 --picture steps \
		--draw docs/steps.png > /dev/null
	$(BIN)/pipeline inspect $(DEMO)/raw --picture classes --draw docs/classes.png > /dev/null
	for picture in docs/layouts/*.svg; do $(BIN)/pipeline inspect \
		--layout "$$(basename "$$picture" .svg)" --draw "$$picture" > /dev/null || exit; done
	$(CHROMIUM) --headless --no-sandbox --hide-scrollbars --window-size=1200,2600 \
		--screenshot="$(CURDIR)/docs/report.png" "file://$(abspath $(DEMO))/report/report.html"

ifdef COVERAGE
test: $(DEV)
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m $(PYTEST)
	@# Without the warnings: what tests kill, or a disk that they fill, leaves damaged files.
	$(BIN)/python -W ignore -m coverage combine --quiet
	@rm -f build/coverage/data.*
	@for package in $(PACKAGES); do \
		echo "$$package: $$($(BIN)/python -m coverage report --format=total \
			--precision=1 --fail-under=0 --include="$$package/*") % of lines and branches"; \
	done
	$(BIN)/python -m coverage report --skip-covered
else
test: $(INSTALLED)
	$(BIN)/python -m $(PYTEST)
endif

lint: $(DEV)
	$(BIN)/python -m ruff check
	$(BIN)/python -m mypy

check: lint
	$(MAKE) test COVERAGE=1

wheel: $(DEV)
	rm -rf $(DIST)
	$(BIN)/python -m build --outdir $(DIST) . > /dev/null
	$(BIN)/python tests/check_wheel.py $(DIST)

smoke: wheel
	$(BIN)/python tests/smoke.py $(DIST)/*.whl

docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) work_dirs

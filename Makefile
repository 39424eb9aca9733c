# Everything runs on Debian's own python3: only that one has gfal2, and PATH may find another first.
PYTHON := /usr/bin/python3

# Debian packages: what gridsync.py calls; what the test grid adds; what the tests add; what lint takes instead.
TOOL := python3 python3-gfal2 gfal2-plugin-http gfal2-plugin-file python3-requests python3-tqdm voms-clients
GRID := $(TOOL) gfal2-plugin-xrootd xrootd-server xrootd-server-plugins xrootd-voms-plugins openssl curl \
	voms-server voms-mysql-plugin mariadb-server-core
TEST := $(GRID) gfal2-plugin-sftp openssh-server voms-clients-java python3-pytest zsh groff-base
LINT := python3-venv shellcheck

.PHONY: help demo test test-all lint grid clean need-lint

help:  ## list these targets
	@sed -nE 's/^([a-z-]+):.*## */make \1\t/p' Makefile | expand -t 14

demo:  ## the manual's example on a test grid
	@tools/need $(GRID)
	@$(PYTHON) -m tests.demo

test:  ## the tests, but for the long ones
	@tools/need $(TEST)
	$(PYTHON) -m pytest tests -m "not long"

test-all:  ## all tests, with those of size and interruption; ten minutes
	@tools/need $(TEST)
	$(PYTHON) -m pytest tests

lint: build/lint/done  ## ruff, mypy --strict and shellcheck; needs neither grid nor gfal2
	build/lint/bin/python -m ruff check .
	build/lint/bin/python -m mypy
	awk 'FNR == 1 && /^#!.*sh( |$$)/ {print FILENAME} {nextfile}' $$(git ls-files -co --exclude-standard) | xargs shellcheck

grid:  ## a shell in which gridsync.py has a test grid
	@tools/need $(GRID)
	@$(PYTHON) -m tests.grid --shell

clean:  ## remove what was built; installed packages stay
	rm -rf build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# Debian has no ruff, so the linters live in a venv of their own; the stamp says which tools/lint.txt it was made from.
build/lint/done: tools/lint.txt | need-lint
	rm -rf build/lint
	$(PYTHON) -m venv build/lint
	build/lint/bin/python -m pip install --quiet --requirement tools/lint.txt
	touch $@

need-lint:
	@tools/need $(LINT)

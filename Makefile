# Everything runs on Debian's own python3: only that one has gfal2, and PATH may find another first.
PYTHON := /usr/bin/python3
# Tests start it thousands of times: what it has compiled is kept, whatever the shell says of that.
unexport PYTHONDONTWRITEBYTECODE

# Debian packages: what gridsync.py calls; what the test grid adds; what the tests add; what lint takes instead.
TOOL := python3 python3-gfal2 gfal2-plugin-http gfal2-plugin-file python3-requests python3-tqdm libdeflate0 \
	voms-clients
GRID := $(TOOL) gfal2-plugin-xrootd xrootd-server xrootd-server-plugins xrootd-voms-plugins openssl curl \
	voms-server voms-mysql-plugin mariadb-server-core
TEST := $(GRID) openssh-client openssh-server voms-clients-java python3-pytest python3-pytest-xdist python3-hypothesis \
	python3-fsspec python3-plotly zsh bash-completion groff-base libfaketime tmux e2fsprogs ntfs-3g tinyproxy-bin \
	mawk gawk original-awk oidc-agent-cli \
	xrootd-scitokens-plugins python3-keyring python3-m2crypto python3-distributed iproute2
LINT := python3-venv shellcheck
NOTEBOOK := python3-venv chromium
FUZZ := python3-venv
BENCH := $(GRID) aria2 rclone gfal2-util-scripts davix xrootd-client lftp openssh-client openssh-server iproute2

IMAGE := gitlab-registry.in2p3.fr/ip2igamma/docker_images:agata_grid_IAM

FUZZ_SECONDS ?= 60
# Most tests wait for a server or a clock, so six run at a time on two cores, each beside a grid of its own.
SIDE_BY_SIDE := -n 6 --dist loadfile
# Files with long tests first, so that none is left alone at the end.
TESTS := tests/night tests/story tests/contract tests/grid tests/plain

# Python starts to count by itself where this is set.
COVERAGE = PYTHONPATH=$(CURDIR)/build/coverage/lib COVERAGE_DATA=$(CURDIR)/build/coverage/data \
	COVERAGE_PROCESS_START=$(CURDIR)/tools/coverage.ini COVERAGE_RCFILE=$(CURDIR)/tools/coverage.ini

# The first time, each of the six would make by itself what pytest makes of the asserts of all tests.
REWRITE = @ls tests/story/__pycache__/*-pytest-* >/dev/null 2>&1 || $(PYTHON) -m pytest --collect-only $(TESTS) >/dev/null

.PHONY: coverage help picture demo demo-doors demo-open-data demo-repository demo-site-to-site demo-workers quick test contract simulate test-all test-doors fuzz bench lint grid image image-test one-file dist site clean need-lint need-fuzz need-venv need-npm

help:  ## list these targets
	@awk -F ':.*## *' '/^[a-z-]+:.*## / {printf "make %-18s%s\n", $$1, $$2}' Makefile

demo:  ## the manual's example on a test grid
	@tools/need $(GRID)
	@$(PYTHON) -m tests.story.demo

demo-doors: build/ftpd/done  ## a file fetched at each kind of site, and one sent, in a minute
	@tools/need $(TEST)
	@$(PYTHON) -m tests.story.doors

demo-open-data:  ## records of open data, from a search to a page with their statistics, in a minute
	@tools/need $(GRID) python3-plotly
	@$(PYTHON) -m tests.story.opendata

demo-repository:  ## records of open data, published in a repository and fetched from there, in a minute
	@tools/need $(GRID)
	@$(PYTHON) -m tests.story.repository

demo-site-to-site:  ## files from site to site, by the doors and through this machine, in half a minute
	@tools/need $(GRID)
	@$(PYTHON) -m tests.story.sitetosite

demo-workers:  ## a folder copied by several workers, of which one is killed, in less than a minute
	@tools/need $(GRID) python3-distributed
	@$(PYTHON) -m tests.story.workers

quick:  ## the plain tests but the slow ones, without grid or network, one row of each table: while typing
	@tools/need $(TOOL) python3-pytest python3-pytest-xdist python3-plotly
	@PYTEST_DEBUG_TEMPROOT=$(firstword $(wildcard /dev/shm /tmp)) $(PYTHON) -m pytest -n 2 --dist loadfile tests/plain -m "not slow and not long"

test: build/ftpd/done  ## all tests except the long ones
	@tools/need $(TEST)
	-$(REWRITE)
	$(PYTHON) -m pytest $(SIDE_BY_SIDE) $(TESTS) -m "not long"

test-all: build/ftpd/done build/wsgidav/done build/hub/done build/webdav4/done build/cernopendata/done build/fts3/done build/invenio/done build/notebook/done build/axe/done build/plotly/done build/dask/done  ## all tests, also those for size, interruption and all faults; half an hour, or an hour
	@tools/need $(TEST) $(NOTEBOOK)
	-$(REWRITE)
	$(PYTHON) -m pytest $(SIDE_BY_SIDE) $(TESTS)

coverage: build/ftpd/done build/coverage/done  ## the share of lines that make test runs, in all its processes; minutes
	@tools/need $(TEST)
	rm -f build/coverage/data*
	-$(COVERAGE) $(PYTHON) -m pytest $(SIDE_BY_SIDE) $(TESTS) -m "not long"
	$(COVERAGE) $(PYTHON) -m coverage combine --quiet
	$(COVERAGE) $(PYTHON) -m coverage report

picture: build/notebook/done  ## docs/report.png: the page of --report, in a browser
	@tools/need $(TOOL) python3-plotly chromium
	@$(PYTHON) -m tests.story.report

contract:  ## what every site promises, tried at one of your Grid.conf's, by looking alone: SITE=NAME
	@tools/need $(TOOL) python3-pytest
	@CONTRACT_SITE="$(or $(SITE),$(error SITE=NAME is missing))" $(PYTHON) -m pytest -rsfE tests/contract/test_contract.py

simulate:  ## a day of --sync with 50 workers and a tape robot, in virtual time: FILES=1000000; minutes
	@tools/need $(TOOL)
	@$(PYTHON) -m tests.support.day $(FILES)

test-doors:  ## contract, faults and --sync at every version of dCache and StoRM; an hour
	@tools/need $(TEST)
	for doors in "dcache-9.2 storm-1.6" dcache-11.2 dcache-12.0; do GRID_PROFILE="$$doors" $(PYTHON) -m pytest $(SIDE_BY_SIDE) \
	  tests/contract/test_contract.py tests/contract/test_places.py tests/night/test_faults.py \
	  tests/story/test_sync.py || exit; done

fuzz: build/fuzz/done  ## mutated input from outside, for FUZZ_SECONDS; stops at the first find
	build/fuzz/bin/python -m tests.night.fuzz -max_total_time=$(FUZZ_SECONDS)

bench: build/xrdclient/done  ## gridsync.py side by side with other tools, all rows or ROW=small; an hour. BEFORE=REV: with an earlier one
	@tools/need $(BENCH)
ifdef BEFORE
	$(PYTHON) -m bench.before $(BEFORE) $(ROWS)
else
	$(PYTHON) -m bench $(ROW)
	$(if $(BENCH_ROUNDS),,$(PYTHON) -m bench.summary)
endif

lint: build/lint/done  ## ruff, mypy --strict and shellcheck; without grid or gfal2
	build/lint/bin/python -m ruff check .
	build/lint/bin/python -m mypy
	awk 'FNR == 1 && /^#!.*sh( |$$)/ {print FILENAME} {nextfile}' $$(git ls-files -co --exclude-standard) | xargs shellcheck

grid:  ## a shell with a test grid for gridsync.py
	@tools/need $(GRID)
	@$(PYTHON) -m tests.grid --shell

image:  ## the container image, named as in AGATA's manual, with docker or podman
	@for engine in docker podman; do \
	  if $$engine info >/dev/null 2>&1; then exec $$engine build -t $(IMAGE) .; fi; \
	done; echo "Neither docker nor podman works here; make image-test builds the image without them, only to test it." >&2; exit 1

image-test:  ## build the image and play the manual's example in it; needs root or user namespaces
	@tools/need $(GRID)
	@$(PYTHON) -m tests.story.image

one-file:  ## dist/gridsync.py: all of the program in one file, to be copied
	@$(PYTHON) tools/one_file.py

dist: build/dist/done  ## what a release consists of, from what is committed: source, wheel, one file, image recipe
	@build/dist/bin/python tools/dist.py

site: build/sphinx/done  ## the pages as a website, build/site; every link is checked
	@tools/need groff-base
	@build/sphinx/bin/python tools/site.py

clean:  ## remove everything built here; installed packages stay
	rm -rf build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# Python packages that Debian lacks live in a venv for each use; its stamp says which list it was made from.
# $(1) goes to venv, $(2) to pip.
define venv
rm -rf $(@D)
$(PYTHON) -m venv $(1) $(@D)
$(@D)/bin/python -m pip install --quiet $(2) --requirement $<
endef

# What lint needs.
build/lint/done: tools/lint.txt | need-lint
	$(call venv)
	touch $@

# What builds and checks a release.
build/dist/done: tools/dist.txt | need-venv
	$(call venv)
	touch $@

# What makes a website of the pages.
build/sphinx/done: tools/site.txt | need-venv
	$(call venv)
	touch $@

# The fuzzer.
build/fuzz/done: tools/fuzz.txt | need-fuzz
	$(call venv)
	touch $@

# What Python programs are tested with: a notebook, pandas, uproot.
build/notebook/done: tools/notebook.txt | need-venv
	$(call venv,--system-site-packages)
	touch $@

# A plain WebDAV server.
build/wsgidav/done: tools/wsgidav.txt | need-venv
	$(call venv)
	touch $@

# The examples of ctadata.
build/webdav4/done: tools/webdav4.txt | need-venv
	$(call venv,--system-site-packages)
	touch $@

# The client of the open data portal, which checks the portal of the tests.
build/cernopendata/done: tools/cernopendata.txt | need-venv
	$(call venv,,--use-pep517)
	touch $@

# The client of FTS3, which checks the server of the tests; what it makes proxies with comes from Debian.
build/fts3/done: tools/fts3.txt | need-venv
	$(call venv,--system-site-packages,--no-deps)
	touch $@

# A real Invenio, the repository that records go into.
build/invenio/done: tools/invenio.txt | need-venv
	$(call venv,,--use-pep517)
	touch $@

# A real JupyterHub, with the proxy that it needs.
build/hub/done: tools/hub.txt | need-venv need-npm
	$(call venv)
	npm install --silent --no-fund --no-audit --prefix build/hub/npm $$(sed -n 's/^# npm: //p' tools/hub.txt)
	touch $@

# Pages made by PyPI's plotly.
build/plotly/done: tools/plotly.txt | need-venv
	$(call venv,--system-site-packages)
	touch $@

# Workers with PyPI's Dask, and jobs of batch systems.
build/dask/done: tools/dask.txt | need-venv
	$(call venv,--system-site-packages)
	touch $@

# The client of XRootD that gridsync.py is compared with.
build/xrdclient/done: tools/xrdclient.txt | need-venv
	$(call venv)
	touch $@

# What counts the lines that run: in a folder beside its venv, for Debian's Python itself, which the tests run on.
build/coverage/done: tools/coverage.txt | need-venv
	rm -rf build/coverage
	$(PYTHON) -m venv build/coverage/venv
	build/coverage/venv/bin/python -m pip install --quiet --target build/coverage/lib --requirement tools/coverage.txt
	echo "import coverage; coverage.process_startup()" >build/coverage/lib/sitecustomize.py
	touch $@

# Pages, tried as with a keyboard or a screen reader.
build/axe/done: tools/axe.txt | need-npm
	rm -rf build/axe
	mkdir -p build/axe
	npm install --silent --no-fund --no-audit --prefix build/axe $$(sed -n 's/^# npm: //p' tools/axe.txt)
	touch $@

need-npm:
	@command -v npm >/dev/null || tools/need nodejs npm

# FTP servers, which Debian does not install side by side: unpacked, not installed.
build/ftpd/done: tools/ftpd.txt
	rm -rf build/ftpd
	mkdir -p build/ftpd
	cd build/ftpd && packages=$$(grep -v '^#' ../../tools/ftpd.txt) && { apt-get -qq download $$packages || \
	  { $$([ $$(id -u) = 0 ] || echo sudo) apt-get -qq update && apt-get -qq download $$packages; }; }
	for package in build/ftpd/*.deb; do dpkg-deb -x $$package build/ftpd && rm $$package || exit; done
	touch $@

need-venv:
	@tools/need python3-venv

need-fuzz:
	@tools/need $(FUZZ)

need-lint:
	@tools/need $(LINT)

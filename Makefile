# Everything happens in .venv; the checkout stays clean.  scripts/prepare.sh makes it, and as root installs what the
# system lacks: a fresh Debian needs git, make and python3 only.
PYTHON ?= python3
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
# What "make test" runs: all of it, or for example TESTS="tests/store -k guard".
TESTS ?= tests

# The tests wait for a fourth of their time, so that one process more than processors is quicker.
WORKERS ?= $(shell expr $$(nproc) + 1)
# "make unit COVERAGE=--cov=archiver" measures which lines and branches ran; that takes twice as long.
COVERAGE ?=

.PHONY: demo run unit test test-ceph test-platforms lint bench bench-full soak model clean

demo:
	@sh scripts/prepare.sh
	$(BIN)/archiver demo

run:
	@sh scripts/prepare.sh
	$(BIN)/archiver run

# What starts no program: under a minute, and without root.
unit:
	@sh scripts/prepare.sh test
	$(BIN)/pytest -q -n auto --unit $(COVERAGE) $(TESTS)

test:
	@sh scripts/prepare.sh test
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal $(TESTS)

# The off-site copy against a second S3 server, Ceph's gateway (installed here, as root, from Debian's packages).
test-ceph:
	@sh scripts/prepare.sh test
	command -v radosgw >/dev/null || (apt-get update -q && \
	    apt-get install -y -q --no-install-recommends ceph-mon ceph-osd radosgw) >/dev/null
	$(BIN)/pytest -q -n auto tests/replica --ceph

# Both commands on fresh systems, Debian 13 and sid, and the defaults announced for git 3 (as root; two hours).
test-platforms:
	$(PYTHON) scripts/platforms.py

lint:
	@sh scripts/prepare.sh dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/lint-imports
	$(BIN)/python tools/prose.py

# archiver beside its peers (installed here, as root): three minutes; "full" an hour, which docs/benchmarks.md reports.
bench:
	@sh scripts/prepare.sh test
	@$(BIN)/python benchmarks/installed.py
	$(BIN)/python benchmarks/bench.py

bench-full:
	@sh scripts/prepare.sh test
	@$(BIN)/python benchmarks/installed.py
	$(BIN)/python benchmarks/bench.py --full --to docs/benchmarks.md
	$(BIN)/python benchmarks/intake.py
	$(BIN)/python benchmarks/replica.py
	$(BIN)/python -m tests.support.sentence_lines

# Half an hour of random work, 1,000 kills in the middle of it, and ten minutes of swapped folders, links and mounts.
soak:
	@sh scripts/prepare.sh test
	$(BIN)/python -m tests.soak.random_work --seconds 1800
	$(BIN)/python -m tests.soak.random_work --seconds 5 --kills 1000
	$(BIN)/python -m tests.soak.swaps --seconds 600

# Random work on archives beside a model of them: docs/test-model.md. Two hours.
MODEL ?=
model:
	@sh scripts/prepare.sh test
	$(BIN)/python -m tests.model $(MODEL)

clean:
	rm -rf $(VENV)

# Everything happens in .venv; the checkout stays clean.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo run test test-ceph lint bench bench-full soak clean

demo: $(VENV)/installed
	$(BIN)/archiver demo

run: $(VENV)/installed
	$(BIN)/archiver run

test: $(VENV)/tested
	$(BIN)/pytest -q -n auto --dist worksteal

# The off-site copy against a second S3 server, Ceph's gateway (installed here, as root, from Debian's packages).
test-ceph: $(VENV)/tested
	command -v radosgw >/dev/null || (apt-get update -q && \
	    apt-get install -y -q --no-install-recommends ceph-mon ceph-osd radosgw) >/dev/null
	$(BIN)/pytest -q -n auto tests/replica --ceph

lint: $(VENV)/linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# archiver beside its peers (installed here, as root): three minutes; "full" an hour, which docs/benchmarks.md reports.
bench: $(VENV)/tested
	$(BIN)/python benchmarks/bench.py

bench-full: $(VENV)/tested
	$(BIN)/python benchmarks/bench.py --full --to docs/benchmarks.md
	$(BIN)/python benchmarks/intake.py
	$(BIN)/python benchmarks/replica.py

# Half an hour of random work, then 1,000 kills in the middle of it.
soak: $(VENV)/tested
	$(BIN)/python -m tests.soak --seconds 1800
	$(BIN)/python -m tests.soak --seconds 5 --kills 1000

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/tested: setup.cfg $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

$(VENV)/linted: setup.cfg $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

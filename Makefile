# Two commands matter: `make pipeline` and `make test`. Both build .venv first; nothing else need be installed.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: pipeline test check benchmark fuzz setup lock clean

pipeline: setup
	medsr run

# four workers on two processors, because half of the time tests wait for other processes; a file's tests share a
# worker, and with it what they start
test: check
	$(BIN)/python -m compileall -q components flows
	pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --durations 15

# the same checks at the desk, in the commit hook and in CI
check: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports

# by hand, on a quiet machine: speed and memory beside basicsr, into benchmarks/RESULTS.md
benchmark: setup
	python -m benchmarks

# by hand: ten thousand broken files through ingest and enhance; see benchmarks/RESULTS.md
fuzz: setup
	python -m benchmarks.fuzzing

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --all-extras --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	rm -rf .venv

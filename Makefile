# The targets a user needs; everything they install goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install run test test-full lint format lock benchmark clean

install: $(STAMP)

# The lock file pins every package with its hashes; the project itself is installed in place.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hepbatch needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

run: install
	$(BIN)/hepbatch run higgs4l

# Two processes, for two cores: the long tests mostly wait, for jobs and for killed workers. tests/conftest.py says what
# stays together.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

test: install
	$(PYTEST)

# The tests at their full sizes, the physics figures of the documentation among them.
test-full: install
	HEPBATCH_TEST_SIZE=full $(PYTEST)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The peers that the benchmarks compare with are an extra of their own, with a lock file of its own.
benchmark: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-benchmark.lock
	$(BIN)/python -m benchmarks

# Pins again, after pyproject.toml changed.
LOCK := -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --extra simulation --extra xrootd --extra opendata --extra s3 --extra webdav --extra lxplus --extra dev --extra build pyproject.toml
lock:
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) $(LOCK) -o requirements.lock
	$(PYTHON) $(LOCK) --extra benchmark -o requirements-benchmark.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

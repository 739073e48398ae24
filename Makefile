# make demo: see it work.  make test: everything that needs no Go toolchain.  make help: the rest.
PYTHON ?= python3
BIN := .venv/bin
# Twice the cores: many tests wait for processes of theirs.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(2 * (os.cpu_count() or 1))")
export PYTHONWARNINGS ?= error::DeprecationWarning:workers,error::DeprecationWarning:syncer

.PHONY: help
help: ## what can be made
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# The environment is made again only when the lock or the project's metadata change.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "peermesh needs Python 3.11 or newer; choose one with make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: .venv/installed ## three clusters, from manifests to an approved proposal; KEEP=1 stays up, REDIS_URL=… uses a Redis of yours
	@$(BIN)/peermesh demo $(if $(KEEP),--keep)

.PHONY: test
test: .venv/installed ## all tests, in parallel
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

# Two workers: each has API servers of its own, of half a gigabyte.
E2E_WORKERS ?= 2

.PHONY: e2e
e2e: .venv/installed ## the tests on real servers, built once with Go (see CONTRIBUTING); cached in ~/.cache/peermesh
	$(BIN)/python -m tests.e2e.build
	$(BIN)/pytest tests/e2e -n $(E2E_WORKERS) --dist loadfile

.PHONY: lint
lint: .venv/installed ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: style
style: .venv/installed ## the measures of style: a report, not a gate
	@$(BIN)/python -m tests.style

.PHONY: bench
bench: .venv/installed ## the budgets, each beside a baseline
	$(BIN)/python -m tests.bench

.PHONY: soak
soak: .venv/installed ## many more random histories and kills than `make test` has time for; MINUTES=10: everything at once with faults
	$(if $(MINUTES),$(BIN)/python -m tests.soak --minutes $(MINUTES),SOAK=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal)

.PHONY: golden
golden: .venv/installed ## write the golden files anew; review them as a diff
	GOLDEN=1 $(BIN)/pytest -q -n $(WORKERS) -m golden

.PHONY: lock
lock: ## requirements.lock from pyproject.toml, and what of it the image needs; needs uv
	uv pip compile pyproject.toml --extra center --extra demo --extra dev --python-version 3.11 --universal \
	  --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements.lock
	uv pip compile pyproject.toml --extra center --extra pkcs11 --constraint requirements.lock --python-version 3.11 --universal \
	  --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o deploy/requirements.lock

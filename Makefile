# make demo: see it work.  make test: everything that needs no Go toolchain.  make help: the rest.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONWARNINGS ?= error::DeprecationWarning:workers,error::DeprecationWarning:syncer

.PHONY: help
help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# The environment is made again only when the lock or the project's metadata change.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "peermesh needs Python 3.11 or newer; choose one with make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

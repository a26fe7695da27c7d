# Every command that a person needs. `make` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up doctor setup setup-dev test test-fast check format lock docs migrations shell sql backup stop clean

PYTHON ?= python3
export PYTHON
# Where Python may keep no compiled modules, each start of a server compiles all of Django again: three seconds instead of one.
unexport PYTHONDONTWRITEBYTECODE
RUN := .venv/bin/python
COMPILE := .venv/bin/uv pip compile -q --generate-hashes --universal --no-emit-index-url --python-version 3.11 --no-header

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

up: setup ## Set up, start the data base, migrate, seed and serve; Ctrl-C stops all of it
	@exec $(RUN) manage.py up

doctor: setup ## Say what is missing or weak on this machine, and how to mend it
	@$(RUN) manage.py doctor

setup: ## Make .venv and install what the server needs (done by `up`)
	@scripts/system-packages bwrap=bubblewrap unshare=util-linux git=git
	@scripts/setup base

setup-dev: ## Install what developing and testing need as well (done by `test` and `check`)
	@scripts/system-packages bwrap=bubblewrap unshare=util-linux git=git
	@command -v chromium-headless-shell chromium chromium-browser >/dev/null 2>&1 \
		|| STRICT=1 scripts/system-packages chromium-headless-shell=chromium-headless-shell 2>/dev/null \
		|| scripts/system-packages chromium=chromium
	@command -v npm >/dev/null 2>&1 || scripts/system-packages npm=npm
	@scripts/setup dev
	@scripts/npm-packages

test: setup-dev ## Run the whole suite, in parallel
	@$(RUN) -m pytest -n auto $(ARGS)

test-fast: setup-dev ## Run the suite without browsers and killed servers
	@$(RUN) -m pytest -n auto -m "not browser and not crash" $(ARGS)

check: setup-dev ## Lint, types, import contracts, migrations, generated pages and lock files
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@$(RUN) manage.py check_migrations
	@$(RUN) manage.py generate_docs --check
	@$(RUN) scripts/check-locks

format: setup-dev ## Format the code and mend what can be mended
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format --quiet .

lock: setup-dev ## Compile requirements/*.in into hashed *.txt
	@for name in setup dev; do $(COMPILE) requirements/$$name.in -o requirements/$$name.txt; done
	@for name in base agent mem0; do $(COMPILE) -c requirements/dev.txt requirements/$$name.in -o requirements/$$name.txt; done

docs: setup-dev ## Write the generated pages of docs/reference again
	@$(RUN) manage.py generate_docs

migrations: setup-dev ## Write migrations for changed models
	@$(RUN) manage.py makemigrations

shell: setup ## Open a Python shell on the running installation
	@$(RUN) manage.py shell

sql: setup ## Open psql on the embedded data base
	@$(RUN) manage.py embedded_postgres psql

backup: setup ## Write the embedded data base to a file in WORKA_HOME
	@$(RUN) manage.py embedded_postgres dump

stop: setup ## Stop an embedded data base and agents that a killed server has left running
	@$(RUN) manage.py embedded_postgres stop

clean: stop ## Remove caches and the suite's own data base; never WORKA_HOME
	@rm -rf .worka/test-postgres .worka/test-agents .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

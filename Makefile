# Every target works from a fresh clone with Python 3.11+, make and the package registries alone.
PYTHON ?= python3
BIN := .venv/bin
ORDERS ?= 100000
ROUNDS ?= 20
SEEDS ?= 100
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

# MkDocs Material says at each build that it ends in May 2027. Its successor reads the same mkdocs.yml (decision 0008).
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help setup lock check format test test-kafka test-simulator simulate chaos demo incident bench bench-kill bench-intake docs reference pictures wheel up down

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/.ready ## make .venv from the lock file

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Settle needs Python 3.11 or newer; name one with: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	touch $@

lock: .venv/.ready ## resolve the dependencies again, those of the image to the same versions
	$(BIN)/uv pip compile pyproject.toml --extra build --extra local --extra dev $(LOCK) --upgrade \
	  --output-file requirements.lock
	$(BIN)/uv pip compile requirements-pictures.in $(LOCK) --constraint requirements.lock --no-annotate --upgrade \
	  --output-file requirements-pictures.lock
	$(BIN)/uv pip compile pyproject.toml --extra build $(LOCK) --constraint requirements.lock --no-annotate \
	  --output-file requirements-runtime.lock

check: .venv/.ready ## format, lint, types, import rules, prose, and the site of the docs with its links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.prose
	$(BIN)/mkdocs build --quiet

format: .venv/.ready ## format and apply the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: .venv/.ready ## all the tests but the next two, on real servers
	$(BIN)/pytest -m 'not kafka and not simulation' --numprocesses 4 --dist loadfile --no-loadscope-reorder

test-kafka: .venv/.ready ## the tests of Kafka on Apache Kafka itself; needs Java 17 and Maven
	$(BIN)/pytest -m kafka --broker apache --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-simulator: .venv/.ready ## the simulator catches each bug that is planted for it
	$(BIN)/pytest -m simulation

simulate: .venv/.ready ## SEEDS seeds of whole batches under faults, held against a model, by date or from SEED
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(if $(SEED),--seed $(SEED))

chaos: .venv/.ready ## ROUNDS rounds of kills, pauses, restarts and cut connections, by date or from SEED; needs Java 17 and Maven
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

demo: .venv/.ready ## settle ORDERS orders on a fresh stack, with a worker killed on the way; KEEP=1 leaves it up
	$(BIN)/python -m bench.demo --orders $(ORDERS) $(if $(KEEP),--keep)

incident: .venv/.ready ## replay the morning that Settle was made for, for the design that failed and for Settle
	$(BIN)/python -m bench.incident.replay

bench: .venv/.ready ## measure: Settle beside the bounds and its peers, then a million orders; QUICK=1 is one round
	$(BIN)/python -m bench.compare $(if $(QUICK),--quick)

bench-kill: .venv/.ready ## measure: what a killed worker costs
	$(BIN)/python -m bench.kill_cost

bench-intake: .venv/.ready ## measure: from topic to durable items, beside the bare bound; needs Java 17 and Maven
	$(BIN)/python -m bench.intake_speed

docs: .venv/.ready ## build the docs as a site in build/site/
	$(BIN)/mkdocs build

reference: .venv/.ready ## write docs/reference/ anew from the code
	$(BIN)/python -m tools.reference

pictures: docs ## make the pictures of README and docs anew; needs Chromium
	$(BIN)/uv pip install --quiet --require-hashes --requirement requirements-pictures.lock
	$(BIN)/python -m tools.pictures

wheel: .venv/.ready ## build dist/settle-*.whl, and check without Docker that the image's files and packages are enough
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist .
	$(BIN)/pytest tests/e2e/test_image.py

up: .venv/.ready ## the embedded stack in the background
	$(BIN)/settle stack up

down: .venv/.ready ## stop the embedded stack
	$(BIN)/settle stack down

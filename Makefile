# Unless a target names more tools, it needs only a fresh clone, Python 3.11+, make and the package registries.
PYTHON ?= python3
BIN := .venv/bin
ORDERS ?= 100000
ROUNDS ?= 20
SEEDS ?= 100
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

# MkDocs Material says at each build that it ends in May 2027. Its successor reads the same mkdocs.yml (decision 0008).
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help setup lock check format test test-docs test-kafka test-simulator simulate chaos demo incident bench bench-kill bench-intake docs reference pictures wheel up down

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/.ready ## create .venv from the lock file

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Settle needs Python 3.11 or newer; name one with: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	touch $@

lock: .venv/.ready ## resolve the dependencies to their newest versions; the image gets the same versions
	$(BIN)/uv pip compile pyproject.toml --extra build --extra local --extra dev $(LOCK) --upgrade \
	  --output-file requirements.lock
	$(BIN)/uv pip compile requirements-pictures.in $(LOCK) --constraint requirements.lock --no-annotate --upgrade \
	  --output-file requirements-pictures.lock
	$(BIN)/uv pip compile pyproject.toml --extra build $(LOCK) --constraint requirements.lock --no-annotate \
	  --output-file requirements-runtime.lock

check: .venv/.ready ## check format, lint, types, import rules, prose, and the site of the docs with its links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.prose
	$(BIN)/mkdocs build --quiet

format: .venv/.ready ## format the code and apply the linter's safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: .venv/.ready ## run all tests except those of the next three targets, on real servers
	$(BIN)/pytest -m 'not kafka and not simulation and not docs' --numprocesses 4 --dist loadfile --no-loadscope-reorder

test-docs: .venv/.ready ## the commands of the docs run as they stand there, and the wheel works in an empty environment
	$(BIN)/pytest -m docs --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-kafka: .venv/.ready ## run the Kafka tests on Apache Kafka; needs Java 17 and Maven
	$(BIN)/pytest -m kafka --broker apache --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-simulator: .venv/.ready ## check that the simulator catches each planted bug
	$(BIN)/pytest -m simulation

simulate: .venv/.ready ## run SEEDS seeds of whole batches with faults against a model, from SEED (default: by date)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(if $(SEED),--seed $(SEED))

chaos: .venv/.ready ## run ROUNDS rounds of kills, pauses, restarts and cut connections, from SEED (default: by date); needs Java 17 and Maven
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

demo: .venv/.ready ## settle ORDERS orders on a fresh stack and kill a worker meanwhile; KEEP=1 leaves the stack running
	$(BIN)/python -m bench.demo --orders $(ORDERS) $(if $(KEEP),--keep)

incident: .venv/.ready ## replay the incident that Settle was made for, with the design that failed and with Settle
	$(BIN)/python -m bench.incident.replay

bench: .venv/.ready ## measure Settle against the bounds and its peers, then with a million orders; QUICK=1 runs one round
	$(BIN)/python -m bench.compare $(if $(QUICK),--quick)

bench-kill: .venv/.ready ## measure the cost of a killed worker
	$(BIN)/python -m bench.kill_cost

bench-intake: .venv/.ready ## measure intake, from topic to durable items, against the bare bound; needs Java 17 and Maven
	$(BIN)/python -m bench.intake_speed

docs: .venv/.ready ## build the docs as a site in build/site/
	$(BIN)/mkdocs build

reference: .venv/.ready ## generate docs/reference/ from the code
	$(BIN)/python -m tools.reference

pictures: docs ## generate the pictures of README and docs; needs Chromium
	$(BIN)/uv pip install --quiet --require-hashes --requirement requirements-pictures.lock
	$(BIN)/python -m tools.pictures

wheel: .venv/.ready ## build dist/settle-*.whl, and check without Docker that the image's files and packages suffice
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist .
	$(BIN)/pytest tests/e2e/test_image.py

up: .venv/.ready ## start the embedded stack in the background
	$(BIN)/settle stack up

down: .venv/.ready ## stop the embedded stack
	$(BIN)/settle stack down

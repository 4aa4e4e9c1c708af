# `make` prints what there is. Everything runs inside .venv, which `.ci/set-up` makes once and leaves alone after.
BIN := .venv/bin
NPM := contracts/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help set-up demo test check soak bench spark contracts gas audit mutation artifacts lock clean
# Libraries send no telemetry from here.
export DO_NOT_TRACK := 1

help: ## print this
	@echo "usage: make TARGET [PYTHON=python3.12] [ARGS='...']"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 \2/p' Makefile | while read -r target text; do printf '  %-10s %s\n' "$$target" "$$text"; done

set-up: ## make .venv from the locked packages (the others do this by themselves)
	@.ci/set-up

demo: set-up ## one epoch from usage to paid claims, on a chain inside the process
	@$(BIN)/rewards demo $(ARGS)

test: set-up ## every test, on all processors; ARGS='-k merkle' chooses
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: set-up ## lint, format, types, floors of the house, lock file
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict rewards flows
	$(BIN)/lint-imports
	$(BIN)/python .ci/check_lock.py

soak: set-up $(NPM) ## kill, fail, reorganise at random and check every invariant; SOAK_MINUTES=60, SOAK_SEED, SOAK_STORY replays one
	$(BIN)/python -m tests.soak

bench: set-up $(if $(shell command -v npm),$(NPM)) ## time and memory beside competitors and goals; half an hour, ARGS=--quick takes two minutes
	$(BIN)/python -m tests.bench $(ARGS)

spark: set-up ## install Spark from .ci/spark.lock, half a GB; then make test compares its bundles too (needs Java 17)
	@[ -n "$$JAVA_HOME" ] || command -v java >/dev/null || { echo "make spark: Java 17 is missing; install it" >&2; exit 2; }
	$(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --no-build-isolation \
		--no-deps -r .ci/spark.lock

contracts: set-up $(NPM) ## compile, unit tests, fuzz, invariants, vectors, gas of the contracts (needs Node)
	cd contracts && node script/compile.js --check
	cd contracts && bin/forge fmt --check && bin/forge build --sizes
	cd contracts && bin/forge test $(ARGS)
	$(BIN)/python -m pytest tests/contracts/test_gas.py

gas: set-up $(NPM) ## measure all gas again beside Uniswap's distributor and compare with contracts/gas.json; minutes
	$(BIN)/python -m tests.gas --check $(ARGS)

audit: set-up $(NPM) ## symbolic checks, static analysis, mutation of the contracts (an hour)
	.ci/audit/run-static
	.ci/audit/run-symbolic
	.ci/audit/run-symbolic --breaks
	.ci/audit/run-mutation

mutation: set-up $(NPM) ## mutants of the Python that decides about money; hours, ARGS='--groups merkle --sample 100' takes minutes
	.ci/audit/set-up mutmut
	$(BIN)/python -m tests.mutation $(ARGS)

artifacts: $(NPM) ## compile the contracts again and write their artifacts (needs Node)
	cd contracts && node script/compile.js

$(NPM): contracts/package-lock.json
	cd contracts && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json

lock: set-up ## lock the packages again after a change of pyproject.toml; ARGS=--upgrade takes the newest
	$(BIN)/python -m venv --clear .venv/lock
	.venv/lock/bin/pip install --quiet --disable-pip-version-check uv
	.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
		--no-annotate --no-header pyproject.toml -o .ci/requirements.lock $(ARGS)
	rm -rf .venv/lock

clean: ## remove everything that set-up, tools and tests made; data/ and out/ stay
	rm -rf .venv *.egg-info build .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf contracts/node_modules contracts/cache contracts/out
	find rewards flows tests .ci -name __pycache__ -type d -prune -exec rm -rf {} +

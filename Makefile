# Everything a developer types. Each target prepares what it needs first; `make` alone lists them.
# Pass more to pytest with ARGS: make test ARGS="-k room -x"
PYTHON := .venv/bin/python
COVERAGE ?=
ARGS ?=

.PHONY: help setup setup-tests run test style format types coverage check bench-setup bench bench-hls bench-smoke soak

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## prepare .venv and the browser client
	@deploy/setup.sh

setup-tests: ## the same, with what the tests need
	@deploy/setup.sh --tests

run: setup ## start the server for development: settings in .env, made when missing
	@$(PYTHON) -m vws init
	@$(PYTHON) -m vws migrate
	@exec $(PYTHON) app.py

test: setup-tests ## run the tests (COVERAGE=1: measured, and no less than 95 %)
	@$(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
		$(if $(COVERAGE),--cov --cov-fail-under=95) $(ARGS)

style: setup-tests ## check style and formatting
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet .

format: setup-tests ## put formatting right
	@$(PYTHON) -m ruff check --quiet --fix .
	@$(PYTHON) -m ruff format --quiet .

types: setup-tests ## check types
	@$(PYTHON) -m mypy --no-error-summary

coverage: ## run the tests and measure what they cover, the servers they start included
	@$(MAKE) --no-print-directory test COVERAGE=1

check: style types coverage ## everything that has to pass

bench-setup: setup-tests
	@npm ci --prefix bench/peer --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null

bench: bench-setup ## measure this server against Node and write docs/performance.md: make bench ARGS="--only relay"
	@$(PYTHON) -m bench $(ARGS)

bench-smoke: bench-setup ## the same in seconds, only to see that it works
	@$(PYTHON) -m bench --scale smoke --raw bench/results/smoke.json $(ARGS)

bench-hls: setup-tests ## measure what viewers of HLS cost, in memory above all
	@$(PYTHON) -m bench.hls $(ARGS)

soak: setup-tests ## hold thousands of clients for ten minutes, then have them all come back at once
	@$(PYTHON) -m bench.soak $(ARGS)

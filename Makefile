# Everything runs in .venv, which `set-up` makes on first use and leaves alone afterwards.
PYTHON := .venv/bin/python
ARGS :=

.DEFAULT_GOAL := help
.PHONY: help set-up run test test-cluster lint format bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

set-up: ## make .venv with the pinned packages (the others do it when needed)
	@python3 constraints/install.py

run: set-up ## run the pipeline on the built-in sample; ARGS="--config FILE --set KEY=VALUE" for more
	@$(PYTHON) local_runner.py run $(ARGS)

test: set-up ## run all tests; ARGS="-k NAME" for some
	@$(PYTHON) -m pytest $(ARGS)

test-cluster: set-up ## run the tests against a Kubeflow Pipelines server, see tests/cluster/conftest.py
	@$(PYTHON) -m pytest tests/cluster $(ARGS)

lint: set-up ## ruff (lint and format) and mypy
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

format: set-up ## let ruff format and mend
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

bench: set-up ## run the benchmarks: one JSON object a line
	@TF_CPP_MIN_LOG_LEVEL=3 $(PYTHON) -W ignore -m benchmarks $(ARGS)

clean: ## remove the environment and caches; runs/ stays
	rm -rf .venv .uv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

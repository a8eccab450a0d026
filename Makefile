# Everything runs in .venv, which `set-up` makes on first use and leaves alone afterwards.
PYTHON := .venv/bin/python
ARGS :=
# what builds the image, and the image's name
BUILDER := docker build
IMAGE := captions:latest

.DEFAULT_GOAL := help
.PHONY: help set-up run test test-cluster image lint format bench clean

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

image: ## build the image of the steps on a cluster; IMAGE=NAME, BUILDER="buildah build" without Docker
	@$(BUILDER) --file kubeflow/Dockerfile --tag $(IMAGE) $(ARGS) .

lint: set-up ## ruff (lint and format), mypy, hadolint
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/hadolint kubeflow/Dockerfile

format: set-up ## let ruff format and mend
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

bench: set-up ## run the benchmarks: one JSON object a line
	@TF_CPP_MIN_LOG_LEVEL=3 $(PYTHON) -W ignore -m benchmarks $(ARGS)

clean: ## remove the environment and caches; runs/ stays
	rm -rf .venv .uv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

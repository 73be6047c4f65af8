# make all                     everything, from nothing to reports/scenes/tables
# make all EXPERIMENT=smoke    another experiment, by name or by path
# make report | controls       one page of it all | which part of the method does the work, which that page then shows
# make test | lint | bench | fuzz    for those who change the code
# make ui                      the runs in the browser
# make clip | test-clip        .venv-clip, in which `python -m rdt extract` makes features of CLIP; its tests
#
# All that is needed beforehand is make and a Python >= 3.11 with venv; PYTHON=... names another one.

EXPERIMENT ?= scenes
PYTHON ?= python3
CORES ?= all

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

BIN := .venv/bin
READY := .venv/ready
CLIP := .venv-clip
# Commands of the environment find each other, and snakemake's jobs find python, without activating it.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.PHONY: all report controls test lint bench fuzz ui clip test-clip
all: $(READY)
	snakemake --cores $(CORES) all --config experiment=$(EXPERIMENT)

report: $(READY)
	snakemake --cores $(CORES) report --config experiment=$(EXPERIMENT)

controls: $(READY)
	snakemake --cores $(CORES) controls --config experiment=$(EXPERIMENT)

test: $(READY)
	python -m pytest -q --numprocesses=auto

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

bench: $(READY)
	OMP_NUM_THREADS=1 python -m tests.bench.bench_core
	OMP_NUM_THREADS=1 python -m tests.bench.bench_step
	OMP_NUM_THREADS=1 python -m tests.bench.bench_captions
	OMP_NUM_THREADS=1 python -m tests.bench.bench_metrics
	OMP_NUM_THREADS=1 python -m tests.bench.bench_scale

fuzz: $(READY)
	python -m tests.support.fuzz 2000 $$RANDOM

ui: $(READY)
	python -m rdt track ui $(EXPERIMENT)

clip: $(CLIP)/ready

test-clip: $(CLIP)/ready
	$(CLIP)/bin/python -m pytest -q tests/features/test_clip.py

# An environment of its own, since open_clip needs torchvision, and torchvision CUDA's torch. The versions of what
# both environments have are the lock's.
$(CLIP)/ready: requirements.lock pyproject.toml
	@echo "installing open_clip into $(CLIP): about two minutes and 5.5 GB, once"
	@test -x $(CLIP)/bin/python || $(PYTHON) -m venv $(CLIP)
	$(CLIP)/bin/python -m pip install --quiet --constraint <(grep -vE '^(torch|setuptools)==' requirements.lock) \
	    'open_clip_torch>=3.3,<4' numpy pillow pytest pyyaml safetensors tqdm
	touch $@

# The stamp comes last, so that an installation that was cut off is taken up again.
$(READY): requirements.lock requirements-model.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "rdt: error: $(PYTHON) is not a Python >= 3.11; name one: make PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "rdt: error: $(PYTHON) cannot make environments; install its venv package (Debian: python3-venv)" >&2; exit 2; }
	@echo "installing the locked packages into .venv: about four minutes and 2.3 GB, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-model.lock
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

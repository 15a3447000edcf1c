# make demo | test | check | bench: each sets up .venv by itself (about 3 GB) and needs nothing but Python >= 3.11 and make.
#   PYTHON=...      the interpreter to make .venv with         PIP_ARGS=...   more arguments for pip install
#   SKIP_APT=1      do not look for the Debian packages
#   JOBS=2          test files at once; each takes 1 to 2 GB of memory

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?=
PIP_ARGS ?=
SKIP_APT ?=
JOBS ?= 2
EXTRAS := sim,devices,dev

VENV := .venv
BIN := $(VENV)/bin
# The stamp carries the hash of what decides the contents of .venv: edit either file and the next make installs again.
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)

# Rendering without a screen, and what evdev (needed by gym-hil's input devices) is compiled with.
DEBIAN_PACKAGES := libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0 gcc libc6-dev linux-libc-dev

.PHONY: help setup demo test check bench smoke clean

help:
	@echo "make demo    train on a simulated Panda with a simulated person, and write a report (5 to 7 minutes on 2 cores)"
	echo "make test    the tests (about 8 minutes on 2 cores)"
	echo "make check   ruff, formatting, pyright, import order, privileged access"
	echo "make bench   speed, side by side with peers; wants an idle machine"
	echo "make smoke   the demo in seconds: does everything fit together?"
	echo "make setup   only make .venv"
	echo "make clean   remove .venv and caches; runs/ stays"

setup: $(STAMP)

demo: $(STAMP)
	@$(BIN)/handrail demo

smoke: $(STAMP)
	@$(BIN)/handrail demo --budget smoke

test: $(STAMP)
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

check: $(STAMP)
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench: $(STAMP)
	@for script in benchmarks/[a-z]*.py; do
		echo "== $$script"
		$(BIN)/python "$$script"
	done

clean:
	@rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

$(STAMP):
	@python=$$(PYTHON="$(PYTHON)" VENV="$(VENV)" SKIP_APT="$(SKIP_APT)" tools/prepare $(DEBIAN_PACKAGES))
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	echo "installing the tested set into $(VENV); the first time this takes some minutes"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_ARGS) -c constraints.txt -e '.[$(EXTRAS)]'
	rm -f $(VENV)/.installed-*
	touch $@

# Every target does its own set-up in .venv; Python >= 3.11 with venv, git and make are enough.
# Options: PYTHON=python3.12 chooses the interpreter, ARGS="-k photos" goes to the command that runs.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test lint bench docs clean

# Scripts in .venv/bin begin with the path of their interpreter, which a space in it breaks: -m never does.
python := .venv/bin/python

export PYTHON
export MPLBACKEND := Agg
export MPLCONFIGDIR := $(CURDIR)/.matplotlib
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_USER := 0
unexport PYTHONHOME PYTHONPATH

# Service accounts and containers often have no home to write to; pip and Dask then use one in here.
ifneq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo yes),yes)
    export HOME := $(CURDIR)/.home
    $(shell mkdir -p .home)
endif

help:
	@echo 'make run    fit a mixture to the sample photographs: runs/photos/report.html'
	@echo 'make test   the whole test suite in two processes (ARGS="-k photos" goes to pytest)'
	@echo 'make lint   style, format and types'
	@echo 'make bench  measure against other libraries: docs/benchmarks.md (WHAT=pass, threads, fit, disk, overhead, scale, scoring, starts, methods, high_dimensions, missing, weights, prepare, sweep, choose, many, guard, small or earlier)'
	@echo 'make docs   build the documentation as a site: build/docs/index.html'
	@echo 'make clean  remove .venv, caches and the sample data; runs/ stays'

run:
	@sh .ci/setup demo
	@$(python) jobs/photos.py $(ARGS)

test:
	@sh .ci/setup test
	@$(python) -m pytest --numprocesses=2 --dist=loadfile $(ARGS)

lint:
	@sh .ci/setup lint
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy

# A shell that forces a BLAS kernel would have it measured instead of the machine's own.
bench:
	@sh .ci/setup bench
	@unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE; $(python) -m benchmarks $(WHAT) $(ARGS)

# Warnings are errors.
docs:
	@sh .ci/setup docs
	@rm -rf build/docs
	@$(python) -m sphinx -W --keep-going -q -b html docs build/docs $(ARGS)

clean:
	@rm -rf .venv .home .matplotlib .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	@rm -rf benchmarks/.peers benchmarks/.data data/photos.zarr data/photos.zarr.partial
	@find dgmm jobs tests $(wildcard benchmarks) -type d -name __pycache__ -prune -exec rm -rf {} +

# Each target sets up .venv by itself; it needs Python 3.11 and git, nothing else.
PYTHON ?= python3.11
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
READY := $(VENV)/.installed
BENCH_NAME ?= calibration-$(shell uname -n)

.PHONY: quick test lint bench clean-env

# The quick study: collects data, trains, evaluates, writes results/quick/README.md.
quick: $(READY)
	@python -m dac watch snakemake quick --cores all --show-failed-logs --quiet host reason
	@python -m dac claims quick

test: $(READY)
	pytest -n 2 --dist loadgroup

lint: $(READY)
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo --no-cache
	snakefmt --check Snakefile workflow
	snakemake --lint

# Training and environment speed of this machine, recorded; `dac plan` estimates with it.
bench: $(READY)
	dac bench --runs 1 2 4 8 16 32 --diffusion-steps 5 10 20 50 100 --processes 8 \
		--json benchmarks/results/$(BENCH_NAME).json
	dac bench --runs 1 8 --precision bf16 --json benchmarks/results/$(BENCH_NAME)-bf16.json
	dac bench --page

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

clean-env:
	rm -rf $(VENV)

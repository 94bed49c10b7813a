# Each target sets up .venv by itself; it needs Python 3.11 or 3.12 and git, nothing else. Without make, the same is
# `python3 workflow/bootstrap.py quick` (test, lint, gpu-check). Another Python than the first in PATH: make quick PYTHON=/path/to/python3.11
VENV_PYTHON := .venv/bin/python
BENCH_NAME ?= calibration-$(shell uname -n)
MINUTES ?= 10
EXAMPLES ?= 10000

# The script says which Python the project needs, so any that can read it may run it.
define BOOTSTRAP
@for python in $(VENV_PYTHON) "$${PYTHON:-python3.11}" python3.11 python3.12 python3 python \
		python3.14 python3.13 python3.10 python3.9; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2> /dev/null; then \
		exec "$$python" workflow/bootstrap.py $@; \
	fi; \
done; \
echo "No Python 3 is in PATH; this project is tested with Python 3.11 and 3.12. Install one (Debian/Ubuntu: 'sudo apt install" \
	"python3.11 python3.11-venv', macOS: 'brew install python@3.11', anywhere: 'uv python install 3.11') and start" \
	"again, or name one: make $@ PYTHON=/path/to/python3.11" >&2; \
exit 1
endef

.PHONY: quick test lint gpu-check setup slurm-env bench soak clean-env

# The quick study: collects data, trains, evaluates, writes results/quick/README.md.
quick:
	$(BOOTSTRAP)

test:
	$(BOOTSTRAP)

lint:
	$(BOOTSTRAP)

# Whether this machine's GPUs compute what they should, and how fast; docs/gpus.md.
gpu-check:
	$(BOOTSTRAP)

# .venv alone.
setup:
	$(BOOTSTRAP)

# .venv-slurm: .venv with Snakemake's plugin for a Slurm cluster, docs/cluster.md.
slurm-env:
	$(BOOTSTRAP)

# Training and environment speed of this machine, recorded; `dac plan` estimates with it.
bench: setup
	$(VENV_PYTHON) -m dac bench --runs 1 2 4 8 16 32 --diffusion-steps 5 10 20 50 100 --processes 8 \
		--json "benchmarks/results/$(BENCH_NAME).json"
	$(VENV_PYTHON) -m dac bench --runs 1 8 --precision bf16 --json "benchmarks/results/$(BENCH_NAME)-bf16.json"
	$(VENV_PYTHON) -m dac bench --accuracy --json "benchmarks/results/accuracy-$(BENCH_NAME:calibration-%=%).json"
	$(VENV_PYTHON) -m dac bench --targets --seconds 30 --json "benchmarks/results/targets-$(BENCH_NAME:calibration-%=%).json"
	$(VENV_PYTHON) -m dac bench --page

# Tests that inject faults at random, for so many minutes and inputs each; docs/reliability.md is what they record.
soak: setup
	$(VENV_PYTHON) tests/support/soak.py --minutes $(MINUTES) --examples $(EXAMPLES)

clean-env:
	rm -rf .venv .venv-slurm

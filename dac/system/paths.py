"""Where a project keeps what it makes: folders and files by their one name, relative to the folder of params.yaml.

The workflow's rules name the logs of their jobs themselves; those of them that a program reads or writes are here.
"""

from __future__ import annotations

from pathlib import Path

RESULTS = Path("results")
RUNS = RESULTS / "runs"  # the store
COLLECTED = RESULTS / "datasets"  # data that were collected here

DATA = Path("data")
D4RL = DATA / "d4rl"  # D4RL's files as they were downloaded
CONVERTED = DATA / "datasets"  # data that can be had again: D4RL's, Minari's and own files, converted

WORK = Path("work")  # what may be deleted while nothing runs, at the price of what is not finished, but for REPLACED
TODO = WORK / "todo"  # the markers of jobs
LOCKS = WORK / "locks"
PROGRESS = WORK / "progress"  # of the jobs that run
JOURNAL = WORK / "journal.jsonl"  # what was made, when
REPLACED = WORK / "replaced"  # folders of data in whose place others were made; they may be the only copy
HASHES = WORK / "sha256.json"  # of files that have not changed since they were read
CALIBRATION = WORK / "calibration.json"  # this machine's speed at a study's sizes
PARTIAL = WORK / "partial"  # pages of what is there of a study
HISTOGRAMS = WORK / "datasets"  # of `dac datasets describe`

LOGS = Path("logs")
WATCH_LOGS = LOGS / "watch"
FETCH_LOGS = LOGS / "fetch"  # of `dac fetch --all`
TENSORBOARD = LOGS / "tensorboard"

BENCHMARKS = Path("benchmarks")
BENCHMARK_RESULTS = BENCHMARKS / "results"
GPU_CHECKS = BENCHMARKS / "gpu-check"  # a folder for each machine

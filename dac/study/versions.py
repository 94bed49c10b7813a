"""Numerics versions: bump one by hand when a change of its component's code changes numbers.

Each constant is part of the fingerprint of every run (or evaluation, dataset, page) that uses the component, so a
bump re-makes exactly those. Code that only reads better, or is only faster at the same numbers, needs no bump.
A guidance, a Q-target or a precision that has no entry is at FIRST: it gets one with its first bump, which then stays.
The file holds plain literals alone because DVC reads it as a parameter file, by value.
"""

FIRST = 1  # never another
COMMON = 1  # networks, critic, optimiser, random streams, batches, in-training evaluation
GUIDANCE = {"soft": 1, "hard": 1, "denoised": 1, "none": 1}
Q_TARGET = {"lcb": 1, "min": 1, "convex": 1}
PRECISION = {"bf16": 2}  # training.precision; at FIRST it is in no fingerprint
DATASET = {"d4rl": 1, "file": 1, "collect": 1, "bandit": 1, "minari": 2}
EVALUATION = 1
TIMING = 1  # how gradient steps are timed
REPORT = 4

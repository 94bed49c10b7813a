"""Datasets in Minari's folder, recorded by its own collector, and a tiny project's task on one of them."""

from __future__ import annotations

import warnings
from typing import Any

from minari import DataCollector
from tiny import Project

from dac.datasets import load
from dac.study import task_data
from dac.study.identity import Dataset


def record(env: Any, dataset_id: str, steps: int = 60, **facts: Any) -> None:
    """Record random actions as a dataset in Minari's root folder."""
    collector = DataCollector(env)
    collector.action_space.seed(0)
    collector.reset(seed=0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = collector.step(collector.action_space.sample())
        if terminated or truncated:
            collector.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collector.create_dataset(dataset_id, **facts)
    collector.close()


def task(project: Project, dataset_id: str, **more: Any) -> Project:
    settings = {**project.settings["tasks"]["pendulum"], "dataset": f"minari:{dataset_id}", **more}
    settings.pop("env") if "env" not in more else None
    return project.set("tasks.pendulum", settings)


def fetched(project: Project) -> Dataset:
    dataset = task_data.dataset_of(project.load(), "pendulum")
    load.fetch(dataset, ())
    return dataset

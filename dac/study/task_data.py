"""The data of a task: which they are, where its policies are evaluated, and which returns are scores 0 and 100."""

from __future__ import annotations

from dac.study.catalog import reference_returns
from dac.study.datasets_lock import compare_if_here
from dac.study.identity import Dataset, dataset_named
from dac.study.params import Params, Task
from dac.study.sources import source_of
from dac.system.errors import UserError
from dac.system.files import read_json


def references(task: Task, name: str) -> tuple[float, float]:
    """Returns that are scores 0 and 100: the task's own, or those of its dataset or its environment."""
    if task.reference_returns is not None:
        return task.reference_returns
    source, data = source_of(task.dataset)
    env = None if source.references else environment(task, name)
    try:
        return source.references(data) if source.references else reference_returns(str(env))
    except UserError as error:
        raise UserError(f"params.yaml: tasks.{name}: {error} Or set reference_returns: [min, max].") from None


def environment(task: Task, name: str) -> str:
    """The environment that a task's policies are evaluated in: its own `env`, or the one that its data name.

    Raises:
        UserError: the data name none.
    """
    if task.env is not None:
        return task.env
    source, data = source_of(task.dataset)
    try:
        return source.environment(data)
    except UserError as error:
        raise UserError(f"params.yaml: tasks.{name}: {error}") from None


def dataset_of(params: Params, task_name: str) -> Dataset:
    """The dataset of a task, with its identity.

    Raises:
        UserError: an unknown D4RL id, a file that is neither present nor in datasets.lock, or one that is present and
            not the one of its identity.
    """
    try:
        dataset = dataset_named(params.tasks[task_name].dataset, params.collect)
        if dataset.file and dataset.kind.made == "fetched":  # a given one is compared where it gets its identity
            compare_if_here(dataset.id, dataset.file, dataset.file_sha256)
        if dataset.kind.linked:
            _refuse_other_size(dataset)
    except UserError as error:
        raise UserError(f"params.yaml: tasks.{task_name}.dataset: {error}") from None
    return dataset


def _refuse_other_size(dataset: Dataset) -> None:
    """Stop where episodes were added to a dataset, or taken away, since it was fetched and linked to.

    Its rows are hashed by whoever reads them; here is a look at the sizes of files alone.
    """
    noted = (read_json(dataset.path / "dataset.json") or {}).get("files")
    if not isinstance(noted, dict) or not all(isinstance(entry, dict) for entry in noted.values()):
        return  # it is not here, or has to be fetched again, which compares it
    known = {name.split("/")[1] for name in noted if name.startswith("data/")}
    there = (path for path in (dataset.path / "data").glob("[0-9]*") if path.is_dir())  # an episode's, if not in HDF5
    if added := sorted(path.name for path in there if path.name not in known):
        raise UserError(
            f"{(dataset.path / 'data').resolve()} has more episodes than when it was fetched ({added[0]} is new), and "
            f"runs were trained on those. `dac fetch {dataset.id}` compares it with datasets.lock and says how to go "
            "on."
        )
    for name, entry in noted.items():
        path = dataset.path / name
        try:
            size = path.stat().st_size
        except OSError:
            continue  # a clone, or a disk that is not mounted
        if path.name != "metadata.json" and size != entry.get("size"):
            raise UserError(
                f"{path.resolve()} has another size than when it was fetched, and runs were trained on that. "
                f"`dac fetch {dataset.id}` compares it with datasets.lock and says how to go on."
            )

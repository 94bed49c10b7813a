"""What is behind the tables of the quick study's page, as it is committed."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from dac.study import check, seed_names
from dac.study.plan import study_plan
from dac.system.errors import UserError
from dac.watch import trace

ROOT = Path(__file__).parents[2]
TABLE = Path("results/quick/tables/quick_guidance-scores.csv")


@pytest.fixture(autouse=True)
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page without the store."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "results/quick/tables", tmp_path / TABLE.parent)
    shutil.copy(ROOT / "results/quick/scores.csv", tmp_path / "results/quick")


def rows(path: Path, **wanted: str) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if all(row[name] == value for name, value in wanted.items())]


def test_a_cell() -> None:
    text = trace.text(check.load(), TABLE, "pendulum-quick/soft")
    (cell,) = [
        cell
        for cell in study_plan(check.load(), "quick").cells
        if (cell.experiment, cell.task, cell.variant) == ("quick_guidance", "pendulum-quick", "soft")
    ]
    (numbers,) = rows(TABLE, task="pendulum-quick", method="soft")
    assert f"numbers     mean {numbers['mean']}, std {numbers['std']}, seeds 5" in text
    assert f"runs        results/runs/pendulum-quick/{cell.group.name}\n" in text
    made = rows(TABLE.parent / "provenance.csv", task="pendulum-quick", run=cell.group.name)
    assert [row["seed"] for row in made] == ["0", "1", "2", "3", "4"]
    assert f"collect:Pendulum-v1/mixed, sha256 {made[0]['dataset_sha256']}" in text
    scores = rows(Path("results/quick/scores.csv"), task="pendulum-quick", experiment="quick_guidance", variant="soft")
    for row, score in zip(made, scores, strict=True):
        line = f"score {score['score']}, complete, {row['finished']} on {row['machine']}, cpu"
        assert f"seed {row['seed']}".ljust(12) + line in text
    assert "eta_lr 0.0 (default 0.001)" in " ".join(text.split())
    assert f"dac train pendulum-quick {cell.group.name} --seeds {seed_names.name(range(5))}" in text


def test_a_task_has_a_part_for_each_variant() -> None:
    text = trace.text(check.load(), TABLE, "pendulum-quick")
    variants = [line for line in text.splitlines() if line.startswith("cell ")]
    assert [line.split(", ")[1] for line in variants] == ["soft", "hard", "BC"]


def test_an_edit_since_the_page_was_made() -> None:
    path = Path("params.yaml")
    text = path.read_text()
    path.write_text(text.replace("    discount: 0.95 ", "    discount: 0.9 "))
    assert path.read_text() != text
    assert trace.NOT_THERE in trace.text(check.load(), TABLE, "pendulum-quick/soft")


@pytest.mark.parametrize(
    ("table", "cell", "said"),
    [
        (TABLE, "pendulm-quick", "no cell 'pendulm-quick'; allowed: halfcheetah-quick, pendulum-quick. Did you mean"),
        (TABLE, "pendulum-quick/sot", "Did you mean 'pendulum-quick/soft'?"),
        (Path("results/quick/tables/none.csv"), "pendulum-quick", "no table"),
        (Path("params.yaml"), "pendulum-quick", "no table"),
    ],
)
def test_what_is_not_there(table: Path, cell: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        trace.text(check.load(), table, cell)
    assert said in str(error.value)

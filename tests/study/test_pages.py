from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import Project, publish, publish_evaluation

from dac.study import pages, store
from dac.study.identity import Evaluation
from dac.study.plan import StudyPlan
from dac.system.files import read_json, write_json


def render(files: dict[str, str]) -> Path:
    folder = Path("rendered")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def study(project: Project) -> StudyPlan:
    """A study whose two runs and their evaluations are in the store."""
    found = project.plan()
    for run in found.runs():
        publish(run)
        for evaluation in found.evaluations()[run.group]:
            publish_evaluation(run, evaluation)
    return found


def test_a_published_page_is_up_to_date(study: StudyPlan) -> None:
    assert pages.problem(study) == "missing"
    pages.publish(study, render({"README.md": "text", "tables/a.csv": "1"}), pages.key_of(study))
    assert pages.problem(study) is None
    content = read_json(Path("results/tiny/report.json"))
    assert content is not None
    assert sorted(content["files"]) == ["README.md", "tables/a.csv"]
    Path("results/tiny/tables/a.csv").write_text("2")
    assert pages.problem(study) == "tables/a.csv was changed"
    Path("results/tiny/tables/a.csv").unlink()
    assert pages.problem(study) == "tables/a.csv is missing"
    Path("results/tiny/report.json").unlink()
    assert pages.problem(study) == "missing"


def test_a_page_loses_the_files_that_it_no_longer_has(study: StudyPlan) -> None:
    pages.publish(study, render({"README.md": "text", "tables/old.csv": "1"}), pages.key_of(study))
    Path("results/tiny/tables/.gitignore").write_text("/kept")
    Path("results/tiny/notes.md").write_text("a reader's")
    Path("rendered/tables/old.csv").unlink()
    pages.publish(study, render({"tables/new.csv": "2"}), pages.key_of(study))
    assert sorted(path.name for path in Path("results/tiny/tables").iterdir()) == [".gitignore", "new.csv"]
    assert Path("results/tiny/notes.md").exists()
    assert pages.problem(study) is None


def test_a_damaged_list_of_a_page_deletes_nothing_elsewhere(study: StudyPlan) -> None:
    pages.publish(study, render({"README.md": "text"}), pages.key_of(study))
    record = read_json(Path("results/tiny/report.json"))
    assert record is not None
    Path("mine.txt").write_text("a reader's")
    write_json(Path("results/tiny/report.json"), {**record, "files": {"../../mine.txt": record["files"]["README.md"]}})
    assert pages.problem(study) == "corrupt: report.json is not readable"
    pages.publish(study, render({"README.md": "text"}), pages.key_of(study))
    assert Path("mine.txt").read_text() == "a reader's"
    assert pages.problem(study) is None


def test_a_page_whose_publishing_was_interrupted_does_not_count(
    study: StudyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.publish(study, render({"README.md": "text"}), pages.key_of(study))

    def fail(source: Path, target: Path) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", fail)
        with pytest.raises(OSError, match="no space left"):
            pages.publish(study, render({"README.md": "text"}), pages.key_of(study))
    assert pages.problem(study) == "missing"
    assert Path("results/tiny/README.md").read_text() == "text"


CHANGED = "its runs, their results or the report's settings changed"


def test_the_key_of_a_page_changes_with_its_inputs(study: StudyPlan, project: Project) -> None:
    run = study.runs()[0]
    one, other = study.cells[0].evaluations
    pages.publish(study, render({"README.md": "text"}), pages.key_of(study))

    def remake(**changes: Any) -> None:
        publish(run, **changes)
        publish_evaluation(run, one)
        publish_evaluation(run, other)

    for changes in ({"curve": "step\n9\n"}, {"dataset_sha256": "e" * 64}, {"status": "diverged"}):
        remake(**changes)
        assert pages.problem(study) == CHANGED, changes
        remake()
        assert pages.problem(study) is None
    publish_evaluation(run, other, b"other rows")
    assert pages.problem(study) == CHANGED
    publish_evaluation(run, other)
    assert pages.problem(project.set("report.window", 1).plan()) == CHANGED
    assert pages.problem(project.set("report.window", 2).plan()) is None


def test_a_page_does_not_depend_on_what_it_does_not_show(study: StudyPlan) -> None:
    """Such as an evaluation that another study asked for; where its runs were made it does show."""
    pages.publish(study, render({"README.md": "text"}), pages.key_of(study))
    run = study.runs()[0]
    publish_evaluation(run, Evaluation(99, 1, (0.0, 1.0)))
    assert pages.problem(study) is None
    write_json(store.run_directory(run) / "provenance.json", {"machine": "other"})
    assert pages.problem(study) == CHANGED

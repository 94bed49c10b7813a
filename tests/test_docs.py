"""The README and the other pages: commands run as printed, settings are accepted, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml
from documentation import LANGUAGES, PAGES, Block, blocks, copy_of_the_project, name_of, run, without_blocks
from paper_items import paper_items
from project import ROOT

from dac import cli
from dac.study import check

# A page whose commands need more than the project, and the test that has it.
ELSEWHERE = {"docs/sharing-with-dvc.md": "tests/workflow/test_sharing.py"}
COMMANDS = {page: [block for block in blocks(page, "bash") if block.reason is None] for page in PAGES}
HERE = [page for page, found in COMMANDS.items() if found and name_of(page) not in ELSEWHERE]
EVERY_BLOCK = [block for page in PAGES for block in blocks(page)]


@pytest.mark.workflow
@pytest.mark.parametrize("page", HERE, ids=name_of)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    for block in blocks(page):
        if block.language == "yaml":
            add_to_params(project / "params.yaml", block.text)
        elif block in COMMANDS[page]:
            run(block.text, project)


def test_pages_that_are_run_elsewhere_are() -> None:
    for page, test in ELSEWHERE.items():
        assert f'"{page}"' in (ROOT / test).read_text()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_stand_in_blocks_of_bash(page: Path) -> None:
    """Anywhere else, no test would find them."""
    assert {block.language for block in blocks(page)} <= LANGUAGES
    shown = re.findall(r"^ {4,}(?:dac|snakemake|dvc|git|make|python3?|pytest|source) .*", without_blocks(page), re.M)
    assert shown == []
    others = [block for block in blocks(page) if block.language != "bash"]
    assert [str(block) for block in others if block.reason is not None] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_of_dac_and_studies_exist(page: Path) -> None:
    """Those that are not run included, and those within a sentence."""
    lines = [line for block in blocks(page, "bash") for line in block.text.splitlines()]
    lines += re.findall(r"`((?:dac|snakemake) [^`]+)`", without_blocks(page).replace("\n", " "))
    studies = {"mine", "ablation", "zoo", "precision", *check.load(ROOT / "params.yaml").studies}
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == ["dac"] and words[1:] and not re.search(r"[<…]", line):
            try:
                cli._parser().parse_args(words[1:])
            except SystemExit:
                # A command that is named without what it needs
                assert len(words) == 2, f"{name_of(page)}: {line}"
        if words[:1] == ["snakemake"] and words[1:] and re.fullmatch(r"\w+", words[1]):
            assert words[1].removesuffix("_datasets").removesuffix("_runs") in studies, f"{name_of(page)}: {line}"


@pytest.mark.parametrize("block", [block for block in EVERY_BLOCK if block.language == "yaml"], ids=str)
def test_settings_are_accepted(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    add_to_params(path, block.text)
    check.load(path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), f"{name_of(page)}: {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_every_experiment_of_the_paper_study_is_an_item_of_the_paper_or_said_to_be_none() -> None:
    """docs/paper-items.md and params.yaml agree, also on the figures: each is of what the experiment shows."""
    params = check.load(ROOT / "params.yaml")
    items = paper_items()
    named = {name for item in items for name in item.experiments}
    assert named == set(params.studies["paper"].experiments)
    assert {"Fig. 2", "Fig. 3", "Fig. 4", "Fig. 5", "Table 1", "Table 2", "Table 6", "Table 8"} <= {
        item.name for item in items
    }
    for item in items:
        assert item.files or item.name == "Fig. 1", item
        for file in item.files:
            folder, _, name = file.partition("/")
            experiment, _, kind = name.partition("-")
            if folder == "figures":
                assert (experiment,) == item.experiments, file
                assert kind.replace("-", "_") in params.experiments[experiment].show, file


def test_the_bandits_numbers_are_those_of_the_committed_tables() -> None:
    """The shares under the README's picture, in its order."""
    (caption,) = re.findall(r"\*(The paper's Fig\. 2, reduced.*?)\*", (ROOT / "README.md").read_text(), re.S)
    shares = []
    for table in ("quick/tables/quick_bandit-actions.csv", "bandit/tables/bandit-actions.csv"):
        rows = pd.read_csv(ROOT / "results" / table).query("task == 'bandit-two-gaussians'")
        shares += [rows.loc[rows["variant"] == variant, "inside"].mean() for variant in ("soft", "hard")]
    assert [int(number) for number in re.findall(r"(\d+) %", caption)] == [round(share) for share in shares]


def test_the_columns_of_scores_are_told() -> None:
    columns = (ROOT / "results/quick/scores.csv").read_text().partition("\n")[0].split(",")
    section = (ROOT / "docs/use.md").read_text().partition("## Compare a method of your own")[2].partition("\n## ")[0]
    assert [column for column in columns if f"`{column}`" not in section] == []


def add_to_params(path: Path, text: str) -> None:
    """Add the entries of a block to the sections of params.yaml that have its names, as a user does by hand."""
    content = yaml.safe_load(path.read_text())
    for section, entries in yaml.safe_load(text).items():
        content[section].update(entries)
    path.write_text(yaml.safe_dump(content, sort_keys=False))

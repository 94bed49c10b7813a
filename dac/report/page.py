"""The page of a study: what stands on it, in its order, and `README.md`, which a code host shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dac.report import claims, made_with, partial, reproduction
from dac.report.data import Experiment, ReportData
from dac.report.figures import FILM_FORMAT, figure_name
from dac.report.items import clips_of, pictures_of, tables_of
from dac.report.protocol import protocol
from dac.report.provenance import Provenance, provenance
from dac.report.statistics import Summary
from dac.report.table import Table, slug
from dac.report.templating import environment

_IMAGE_FORMATS = ("png", "svg", FILM_FORMAT)


@dataclass(frozen=True)
class Opening:
    """What a page begins with.

    Attributes:
        answer, reproduced: whether the paper was reproduced, in a line and as a table, if a task is the paper's.
        claims: what the study is to show, if it is to show something.
        settings: what it was made with.
    """

    answer: str
    reproduced: Table | None
    claims: Table | None
    settings: Table

    def tables(self) -> list[Table]:
        """All that there are."""
        return [table for table in (self.reproduced, self.claims, self.settings) if table is not None]


@dataclass(frozen=True)
class Shown:
    """A figure or film as a page shows it: of which item, its files without suffix, what it shows, its formats.

    One without formats is a film that could not be drawn: its caption alone stands there, which says so.
    """

    item: str
    name: str
    caption: str
    formats: tuple[str, ...]

    @property
    def image(self) -> str | None:
        """The file that a browser can show, if there is one."""
        suffix = next((suffix for suffix in _IMAGE_FORMATS if suffix in self.formats), None)
        return None if suffix is None else f"{self.name}.{suffix}"


@dataclass(frozen=True)
class Section:
    """An experiment's part of a page."""

    experiment: Experiment
    tables: list[Table]
    figures: list[Shown]

    @property
    def anchor(self) -> str:
        return f"experiment-{slug(self.experiment.name)}"


@dataclass(frozen=True)
class Page:
    """All that stands on a page. `protocol` and `apart`, what is not the paper's, are items of lists in Markdown."""

    data: ReportData
    opening: Opening
    protocol: list[str]
    apart: list[str]
    sections: list[Section]
    provenance: Provenance

    @property
    def banner(self) -> str:
        """What is missing of a partial page."""
        return partial.banner(self.data)

    def tables(self) -> list[Table]:
        """Those that are files of their own, too, in the order of the page."""
        return [*self.opening.tables(), *(table for section in self.sections for table in section.tables)]

    def markdown(self) -> str:
        """As `README.md`."""
        return environment().get_template("page.md.jinja").render(page=self, data=self.data)


def page(data: ReportData, summaries: Sequence[Summary]) -> Page:
    """The page of a study."""
    return Page(
        data=data,
        opening=_opening(data, summaries),
        protocol=protocol(data, [summary for summary in summaries if not summary.experiment.times_steps]),
        apart=made_with.not_the_papers(data),
        sections=[_section(data, summary) for summary in summaries],
        provenance=provenance(data),
    )


def _opening(data: ReportData, summaries: Sequence[Summary]) -> Opening:
    """What a page begins with: whether the paper was reproduced, the claims, the settings."""
    compared = reproduction.outcomes(data, summaries)
    found = [finding for summary in summaries for finding in claims.findings(data, summary)]
    return Opening(
        answer=reproduction.counted(compared, data.settings) if compared else "",
        reproduced=reproduction.reproduction_table(compared, data.settings) if compared else None,
        claims=claims.claims_table(found, data.settings.confidence) if found else None,
        settings=made_with.settings_table(data),
    )


def _section(data: ReportData, summary: Summary) -> Section:
    experiment, formats = summary.experiment, data.settings.figure_formats

    def shown(item: str, caption: str, formats: tuple[str, ...]) -> Shown:
        return Shown(item, figure_name(experiment, item), f"{experiment.title}. {caption}", formats)

    films = [
        shown(item, clip.caption(data, experiment), () if clip.content(data, experiment) is None else (FILM_FORMAT,))
        for item, clip in clips_of(experiment).items()
    ]
    figures = [
        shown(item, picture.caption(data, drawn), formats)
        for item, picture in pictures_of(experiment).items()
        if (drawn := partial.drawable(data, summary, picture)) is not None
    ]
    return Section(experiment, tables_of(data, summary), [*films, *figures])

"""The comparison as a report: as a page that needs no network, in print, as tables and as data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.colours import ink_on
from reports.compare import figures, tables
from reports.compare.model import Comparison, Likeness, Outcome, Report
from reports.compare.ranking import causes, counts, faulty, headline, ranked
from reports.compare.verdicts import amount, form, margin
from reports.compare.ways import Side
from reports.document import Section, Table, cells, instants, left_out
from reports.laid_out import in_markdown, records
from reports.templating import environment
from reports.themed import themed

# Evidence is drawn for so many of the worst, and for so many of each other verdict. The table of all has so
# many lines, and on paper so many.
EVIDENCE, OTHERS, SHOWN_ROWS, PRINTED_ROWS = 40, 3, 1000, 60
_WORST = 10

_TEMPLATES = environment()
_TEMPLATES.filters["identity"] = id
_TEMPLATES.filters["instant"] = lambda when: f"{when:%Y-%m-%d %H:%M}"
_TEMPLATES.globals.update(
    instants=instants,
    cells=cells,
    left_out=left_out,
    themed=themed,
    amount=amount,
    form=form,
    margin=margin,
    Side=Side,
    Outcome=Outcome,
    Likeness=Likeness,
    colours=figures.OUTCOMES,
    ink_on=ink_on,
)


@dataclass(frozen=True)
class Compared:
    """The report in every format: see `reports.document.Writable`. The evidence of so many of the worst
    paths is drawn; `appendix` comes after all of it."""

    report: Report
    evidence: int = EVIDENCE
    appendix: tuple[Section, ...] = ()

    @property
    def name(self) -> str:
        return "compare"

    def page(self, *, printed: bool) -> str:
        return _rendered(self, self._order, printed)

    def markdown(self) -> str:
        return tables.markdown(self.report, self._order) + "\n".join(in_markdown(self.appendix))

    def frames(self) -> Mapping[str, pd.DataFrame]:
        return {"paths": self._paths} | {table.name: table.frame for table in self._appended()}

    # the order and the lines are those of several formats, and take a second of ten thousand paths
    @cached_property
    def _order(self) -> list[Comparison]:
        return ranked(self.report)

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        return tables.rows(self._order)

    @cached_property
    def _paths(self) -> pd.DataFrame:
        return pd.DataFrame(self._lines)

    def json(self) -> Mapping[str, Any]:
        return self._document

    # for who writes it, and for who says what is in it
    @cached_property
    def _document(self) -> Mapping[str, Any]:
        return {
            **tables.document(self.report, self._order, self._lines),
            "tables": {table.name: records(table) for table in self._appended()},
        }

    def _appended(self) -> Iterator[Table]:
        return (table for section in self.appendix for table in section.tables)


def _rendered(compared: Compared, order: list[Comparison], printed: bool) -> str:
    report, evidence = compared.report, compared.evidence
    most_rows = PRINTED_ROWS if printed else SHOWN_ROWS
    worst = [one for one in order if one.outcome is Outcome.DISAGREE or faulty(one)]
    drawn = _drawn(order, worst, evidence)
    return _TEMPLATES.get_template("compare.html").render(
        report=report,
        headline=headline(report),
        counts=counts(report),
        why=_reasons(worst),
        worst=worst[:_WORST],
        more_worst=len(worst) - _WORST,
        forest=Markup(figures.forest(worst or order, report.name)),
        covered=Markup(figures.covered(report)),
        rows=order[:most_rows],
        left=len(order) - len(order[:most_rows]),
        places=defaultdict(int, {id(one): number for number, one in enumerate(drawn, 1)}),
        evidence=[
            (one, Markup(figures.series(report, one)), Markup(figures.agreement(one))) for one in drawn
        ],
        sections=compared.appendix,
        printed=printed,
        inferred=any(cell.inferred for one in report.comparisons for cell in one.cells),
    )


def _drawn(order: list[Comparison], worst: list[Comparison], most: int) -> list[Comparison]:
    """What has its evidence drawn: all that is wrong, and a few of each other verdict, to be seen."""
    known = {id(one) for one in worst}
    left: Counter[Outcome] = Counter(dict.fromkeys(Outcome, OTHERS))
    found = list(worst)
    for one in order:
        if id(one) not in known and left[one.outcome] > 0:
            left[one.outcome] -= 1
            found.append(one)
    return found[:most]


def _reasons(worst: list[Comparison]) -> list[tuple[str, int]]:
    """How often each cause was found, and how often none."""
    found: Counter[str] = Counter()
    for cause, number in causes(worst).items():
        found[cause.value] += number
    unexplained = sum(bool(one.next_steps) for one in worst)
    if unexplained:
        found["unexplained"] = unexplained
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))

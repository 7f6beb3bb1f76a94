"""The report as one page that needs no network, and the same page in print (PDF).

PDF is made by WeasyPrint from the page's own print style: text stays text, and figures stay sharp. Not by
matplotlib: its pages are pictures with no tables that flow from page to page.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from markupsafe import Markup

from reports.compare import figures
from reports.compare.model import Comparison, Likeness, Outcome, Report
from reports.compare.ranking import causes, counts, faulty, headline, ranked
from reports.compare.verdicts import amount, form, margin
from reports.compare.ways import Side
from reports.templating import environment

# Evidence is drawn for so many of the worst; on paper the table of all has so many lines.
EVIDENCE, PRINTED_ROWS = 40, 60
_WORST = 10

_TEMPLATES = environment()
_TEMPLATES.filters["identity"] = id
_TEMPLATES.filters["instant"] = lambda when: f"{when:%Y-%m-%d %H:%M}"
_TEMPLATES.globals.update(
    amount=amount,
    form=form,
    margin=margin,
    Side=Side,
    Outcome=Outcome,
    Likeness=Likeness,
    colours=figures.OUTCOMES,
)


def html(report: Report, evidence: int = EVIDENCE) -> bytes:
    """One self-contained document; evidence of so many of the worst paths."""
    return _rendered(report, evidence, None).encode()


def pdf(report: Report, evidence: int = EVIDENCE) -> bytes:
    """The same in print, A4. The bytes depend on nothing but the report."""
    import logging

    from weasyprint import HTML

    # it has opinions on style sheets that are for screens
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    found: bytes = HTML(string=_rendered(report, evidence, PRINTED_ROWS), url_fetcher=_nothing).write_pdf()
    return found


def _nothing(url: str, *_: Any, **__: Any) -> Any:
    """A report fetches nothing."""
    raise ValueError(f"{url}: a report fetches nothing")


def _rendered(report: Report, evidence: int, most_rows: int | None) -> str:
    order = ranked(report)
    worst = [one for one in order if one.outcome is Outcome.DISAGREE or faulty(one)]
    drawn = [one for one in order if one.outcome is not Outcome.AGREE or faulty(one)][:evidence]
    # where nothing is wrong, what agrees is shown to be seen
    known = {id(one) for one in drawn}
    drawn += [one for one in order if id(one) not in known][: max(0, min(3, evidence) - len(drawn))]
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
        inferred=any(cell.inferred for one in report.comparisons for cell in one.cells),
    )


def _reasons(worst: list[Comparison]) -> list[tuple[str, int]]:
    """How often each cause was found, and how often none."""
    found: Counter[str] = Counter()
    for cause, number in causes(worst).items():
        found[cause.value] += number
    unexplained = sum(bool(one.next_steps) for one in worst)
    if unexplained:
        found["unexplained"] = unexplained
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))

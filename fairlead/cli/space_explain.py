"""`fairlead space explain`: why a cloud said no, and when it would say yes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._common import CatalogueOption, JsonOption, messages, output, print_json
from fairlead.cli._need import takes_need
from fairlead.cli._space import (
    CloudOption,
    LengthOption,
    ProjectOption,
    SiteOption,
)
from federation.errors import InputError
from reservations.calendar import Need

if TYPE_CHECKING:
    from fairlead.cli._space import Asked
    from reservations.windows import Question

app = typer.Typer()

_AHEAD = timedelta(days=90)


@app.command(
    epilog='Example: fairlead space explain "Not enough hosts available" --cores 64 --for 3h. '
    "Exit status: 0 done, 2 wrong usage or no such server, 3 the cloud can't be reached."
)
@takes_need
def explain(
    problem: Annotated[
        str, typer.Argument(help="What the cloud said, or a server's name or id.", show_default=False)
    ],
    need: Need | None,
    duration: LengthOption = None,
    after: Annotated[str, typer.Option(help="When it was to start.")] = "now",
    kind: Annotated[
        str | None, typer.Option(help='How it was to be booked, such as "physical:host".')
    ] = None,
    project: ProjectOption = None,
    site: SiteOption = None,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a refusal meant this time: which limit it was, and when it would work.

    With what was asked for (--cores, --for and so on) the cloud is looked at; of a server the cloud knows it.
    """
    from fairlead.cli._space import accounts, asked
    from reservations.explain import explain as understand
    from reservations.reading import read_range
    from reservations.windows import Question

    if (need is None) != (duration is None):
        raise InputError("expected both what was asked for (--cores and so on) and --for, or neither")
    if need is None and _only_words(problem):
        clouds = _configured(catalogue, cloud)
    else:
        clouds = asked(catalogue, cloud)
    question = None
    if need is not None and clouds is not None:
        length, first, _ = read_range(duration or "", after, after, clouds.now)
        question = Question(need, length, first, first)
    server = None if clouds is None else _server(clouds, site, problem)
    place, document = server or (None, problem)
    if place is None and not _only_words(problem):
        raise InputError(f"no server is called {problem!r}")
    sites = [place] if place is not None else site
    calendars = [] if clouds is None else _calendars(clouds, sites)
    question, kind = _booked(calendars, question, kind)
    found = understand(
        document,
        calendars,
        question,
        kind=kind,
        accounts=[] if clouds is None else accounts(clouds, sites, project),
    )
    if as_json:
        print_json(asdict(found))
        return
    console = output()
    console.print(f"{found.limit}: {found.text}")
    for detail in found.details:
        console.print(f"  {detail}")
    if found.opening is not None:
        console.print(f"it would work from {found.opening.start:%Y-%m-%d %H:%M} UTC on ({found.kind})")


def _only_words(problem: str) -> bool:
    """A sentence has spaces; names and ids of servers have none."""
    return " " in problem.strip()


def _configured(catalogue: Any, cloud: str | None) -> Asked | None:
    """The clouds, where any are set: what a sentence means can be said without."""
    from fairlead.cli._space import asked

    try:
        return asked(catalogue, cloud)
    except InputError:
        if catalogue is not None or cloud is not None:
            raise
        return None


def _server(clouds: Asked, sites: list[str] | None, name: str) -> tuple[str, Mapping[str, Any]] | None:
    """The site that has the server of that name or id, and the cloud's document of it."""
    from reservations.sources import Servers

    if _only_words(name):
        return None
    for placed in clouds.sources:
        if isinstance(placed.source, Servers) and (not sites or placed.site in sites):
            document = placed.source.server(name)
            if document is not None:
                return placed.site, document
    return None


def _calendars(clouds: Asked, sites: list[str] | None) -> list[Any]:
    known = clouds.known(sites, clouds.now + _AHEAD)
    for one in known:
        for remark in one.remarks:
            messages().print(f"note: {remark}")
    return [calendar for one in known for calendar in one.calendars]


def _booked(
    calendars: list[Any], question: Question | None, kind: str | None
) -> tuple[Question | None, str | None]:
    """The question as the cloud was asked, with its flavour, and the way of booking: `kind`, or the usual
    one, or whichever way there is."""
    from dataclasses import replace

    from reservations.asking import as_booked, usual_kind

    if question is None:
        return None, kind
    wanted = kind or usual_kind(question.need)
    for calendar in sorted(calendars, key=lambda each: each.kind != wanted):
        need = as_booked(calendar, question.need)
        if need is not None and (kind is None or calendar.kind == kind):
            return replace(question, need=need), calendar.kind
    return question, wanted

"""`fairlead space reserve`, `extend`, `cancel` and `list`: real reservations."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fairlead.cli._common import CatalogueOption, JsonOption, messages, output, print_json
from fairlead.cli._need import takes_need
from fairlead.cli._space import (
    AfterOption,
    BeforeOption,
    CloudOption,
    ForOption,
    SiteOption,
    table,
)
from federation.errors import InputError
from reservations.calendar import Need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fairlead.cli._space import Asked
    from reservations.asking import Answer
    from reservations.leases import Lease, Leases

app = typer.Typer()
T = TypeVar("T")

NO = 1
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Our name for it, or the cloud's id.", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
# how long a lease that should have begun may take to become active
_BEGINS = timedelta(minutes=5)


@app.command(
    epilog="Example: fairlead space reserve imaging --cores 8 --memory 32GiB --for 4h --site perth. "
    "Exit status: 0 reserved, 1 it doesn't fit or was refused, 2 wrong usage, 3 the cloud can't be reached."
)
@takes_need
def reserve(
    name: Annotated[
        str, typer.Argument(help="A name of your own: asked for twice, it is one lease.", show_default=False)
    ],
    duration: ForOption,
    need: Need,
    after: AfterOption = "now",
    before: BeforeOption = "30d",
    site: SiteOption = None,
    kind: Annotated[str | None, typer.Option(help='Book it this way only, such as "physical:host".')] = None,
    wait: Annotated[bool, typer.Option(help="Wait until it is active, where it begins now.")] = False,
    yes: YesOption = False,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reserve the first window in which all fits: the plan is shown first, what is held checked after."""
    from fairlead.cli._space import asked
    from reservations.answers import host_words
    from reservations.asking import ask
    from reservations.reading import read_range
    from reservations.windows import Question
    from reservations.words import need_words

    clouds = asked(catalogue, cloud)
    length, first, last = read_range(duration, after, before, clouds.now)
    places = _bookable(clouds, site)
    known = clouds.known([place.site for place in places], last + length)
    answers = ask(known, Question(need, length, first, last), 1)
    usable = [one for one in answers if _by(places, one) and (kind is None or one.calendar.kind == kind)]
    best = next((one for one in usable if one.openings), None) or _untold(usable)
    if best is None:
        told = "; ".join(obstacle.text for one in usable for obstacle in one.obstacles)
        messages().print(f"nothing can be reserved for {need_words(need)}: {told or 'no way to book it'}")
        raise typer.Exit(NO)
    opening = best.openings[0]
    start, end = opening.start, opening.start + length
    on = (
        f"on {host_words(best.calendar, opening.hosts)}"
        if opening.hosts
        else "if the cloud has room: it hides that"
    )
    plan = (
        f"{name}: {need_words(best.question.need)} at {best.calendar.site} ({best.calendar.kind}, {on}), "
        f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    )
    _agree(plan, yes)
    leases = next(place.leases for place in places if _by([place], best))
    begins = None if start <= clouds.now + best.calendar.rules.step else start
    lease = _granted(lambda: leases.reserve(name, best.question.need, best.calendar.kind, begins, end))
    clouds.snapshots.forget(best.calendar.site)
    if wait and begins is None:
        for seen in leases.follow(lease.id, clouds.now + _BEGINS):
            messages().print(f"{name}: {seen.state}")
            lease = seen
    _tell_lease(best.calendar.site, lease, as_json)


@app.command(
    epilog="Example: fairlead space extend imaging --by 2h. "
    "Exit status: 0 done, 1 the cloud refused, 2 wrong usage, 3 the cloud can't be reached."
)
def extend(
    name: NameArgument,
    by: Annotated[str | None, typer.Option(help='By how long, such as "2h".')] = None,
    until: Annotated[str | None, typer.Option(help="Until when, instead: earlier or later than now.")] = None,
    site: SiteOption = None,
    yes: YesOption = False,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the end of a lease."""
    from fairlead.cli._space import asked
    from federation.units import parse_duration, parse_instant

    if (by is None) == (until is None):
        raise InputError("expected either --by or --until")
    clouds = asked(catalogue, cloud)
    place, lease = _found(clouds, site, name)
    try:
        end = lease.end + parse_duration(by) if by is not None else parse_instant(until or "", clouds.now)
    except InputError as error:
        raise InputError(f"{'--by' if by is not None else '--until'}: {error}") from None
    _agree(f"{lease.name}: until {end:%Y-%m-%d %H:%M} UTC instead of {lease.end:%Y-%m-%d %H:%M}", yes)
    moved = _granted(lambda: place.leases.extend(lease.id, end))
    clouds.snapshots.forget(place.site)
    _tell_lease(place.site, moved, as_json)


@app.command(
    epilog="Example: fairlead space cancel imaging. "
    "Exit status: 0 it is gone, 1 the cloud refused, 2 wrong usage, 3 the cloud can't be reached."
)
def cancel(
    name: NameArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
) -> None:
    """Give a lease up; servers on it are deleted by the cloud."""
    from fairlead.cli._space import asked

    clouds = asked(catalogue, cloud)
    place, lease = _found(clouds, site, name)
    _agree(f"{lease.name}: give up what it holds until {lease.end:%Y-%m-%d %H:%M} UTC at {place.site}", yes)
    _granted(lambda: place.leases.cancel(lease.id))
    clouds.snapshots.forget(place.site)
    messages().print(f"{lease.name}: gone")


@app.command(
    "list",
    epilog="Example: fairlead space list. Exit status: 0 done, 2 wrong usage, 3 a cloud can't be reached.",
)
def list_leases(
    site: SiteOption = None,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the project's leases at every cloud that can be booked."""
    from fairlead.cli._space import asked

    found = [
        (place.site, lease)
        for place in _bookable(asked(catalogue, cloud), site)
        for lease in place.leases.list()
    ]
    if as_json:
        print_json({"leases": [_document(where, lease) for where, lease in found]})
        return
    lines = table("site", "name", "state", "from (UTC)", "until", "booked as", "id")
    for where, lease in found:
        start, end = f"{lease.start:%Y-%m-%d %H:%M}", f"{lease.end:%Y-%m-%d %H:%M}"
        lines.add_row(where, lease.reference or lease.name, lease.state, start, end, lease.kind, lease.id)
    if found:
        output().print(lines)
    else:
        messages().print("no leases")


def _untold(answers: list[Answer]) -> Answer | None:
    """Where the cloud hides its calendar, nothing is left but to ask it for the first start."""
    from reservations.calendar import Sight
    from reservations.windows import Opening

    for one in answers:
        if one.calendar.sight is Sight.OWN and not one.obstacles:
            start = one.question.after
            return replace(one, openings=(Opening(start, start, ()),))
    return None


@dataclass(frozen=True)
class _Place:
    """A cloud that can be booked."""

    site: str
    source: str
    leases: Leases


def _bookable(clouds: Asked, sites: list[str] | None) -> list[_Place]:
    """The clouds of these sites that can be booked. Raises InputError where there are none."""
    from reservations.sources import Bookable

    found = [
        _Place(placed.site, placed.space.source, placed.source.leases())
        for placed in clouds.sources
        if isinstance(placed.source, Bookable) and (not sites or placed.site in sites)
    ]
    if not found:
        raise InputError("none of these sites can be booked: expected one with a source such as blazar")
    return found


def _by(places: list[_Place], answer: Answer) -> bool:
    calendar = answer.calendar
    return any((place.site, place.source) == (calendar.site, calendar.source) for place in places)


def _found(clouds: Asked, sites: list[str] | None, name: str) -> tuple[_Place, Lease]:
    """The lease of that name or id; one that lives, where an old one has the same name."""
    from reservations.leases import LeaseState

    def called() -> Iterator[tuple[_Place, Lease]]:
        for place in _bookable(clouds, sites):
            for lease in place.leases.list():
                if name in (lease.id, lease.reference, lease.name):
                    yield place, lease

    ordered = sorted(called(), key=lambda each: each[1].state in (LeaseState.ENDED, LeaseState.FAILED))
    if not ordered:
        raise InputError(f"no lease is called {name!r}: `fairlead space list` shows those that there are")
    living = [each for each in ordered if each[1].state in (LeaseState.PENDING, LeaseState.ACTIVE)]
    if len(living) > 1:
        ids = ", ".join(lease.id for _, lease in living)
        raise InputError(f"{len(living)} leases are called {name!r}: expected the id of one: {ids}")
    return ordered[0]


def _agree(plan: str, yes: bool) -> None:
    """Show what will be done, and ask. Raises InputError where nobody can be asked."""
    from fairlead.cli._common import ask

    messages().print(plan)
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody is there to be asked: expected --yes to do it")
    if ask("do it? [y/N]", default="", show_default=False).strip().lower() not in ("y", "yes"):
        messages().print("nothing was done")
        raise typer.Exit(NO)


def _granted(action: Callable[[], T]) -> T:
    """What the cloud granted; where it refuses, its reason is told."""
    from reservations.leases import RefusedError

    try:
        return action()
    except RefusedError as error:
        messages().print(f"the cloud refused ({error.limit}): {error}")
        raise typer.Exit(NO) from None


def _tell_lease(site: str, lease: Lease, as_json: bool) -> None:
    if as_json:
        print_json(_document(site, lease))
        return
    held = f", on {', '.join(lease.hosts)}" if lease.hosts else ""
    times = f"{lease.start:%Y-%m-%d %H:%M} to {lease.end:%Y-%m-%d %H:%M} UTC"
    output().print(f"{lease.name}: {lease.state} at {site}, {times}{held} ({lease.id})", soft_wrap=True)
    for doubt in lease.doubts:
        messages().print(f"careful: {doubt}")


def _document(site: str, lease: Lease) -> dict[str, Any]:
    return {
        "site": site,
        "id": lease.id,
        "reference": lease.reference,
        "name": lease.name,
        "kind": lease.kind,
        "state": lease.state,
        "start": lease.start,
        "end": lease.end,
        "hosts": lease.hosts,
        "flavour": lease.flavour,
        "reservation": lease.reservation,
        "doubts": lease.doubts,
    }

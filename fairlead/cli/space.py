"""`fairlead space`: when is there room for this, and what is free now?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import CatalogueOption, JsonOption, messages, number, output, print_json
from fairlead.cli._need import takes_need
from fairlead.cli._space import (
    AfterOption,
    BeforeOption,
    CloudOption,
    ForOption,
    SiteOption,
    table,
    tell,
)
from reservations.calendar import Need

if TYPE_CHECKING:
    from datetime import datetime

    from reservations.asking import Answer

app = typer.Typer(
    no_args_is_help=True,
    help="When a cloud has space, what is taken, by whom, and what may still be spent.",
    epilog="Example: fairlead space when --catalogue sites.toml --cores 64 --memory 256GiB --for 3d",
)

DOES_NOT_FIT = 1


@app.command(
    epilog="Example: fairlead space when --cores 64 --memory 256GiB --for 3d. "
    "Exit status: 0 it fits somewhere, 1 it fits nowhere in the asked range, 2 wrong usage."
)
@takes_need
def when(
    duration: ForOption,
    need: Need,
    after: AfterOption = "now",
    before: BeforeOption = "30d",
    site: SiteOption = None,
    count: Annotated[
        int, typer.Option(**number("--count", 1, 100), help="Windows of each site at most.")
    ] = 3,
    ics: Annotated[Path | None, typer.Option(help="Write the windows as an iCalendar file.")] = None,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the first windows in which all of it fits, for the whole time, on the same hosts."""
    from fairlead.cli._space import asked
    from reservations.answers import answer_document
    from reservations.asking import ask, remarks
    from reservations.reading import read_range
    from reservations.windows import Question
    from reservations.words import need_words

    clouds = asked(catalogue, cloud)
    length, first, last = read_range(duration, after, before, clouds.now)
    known = clouds.known(site, last + length)
    answers = ask(known, Question(need, length, first, last), count, clouds.sources)
    told = remarks(known, answers)
    if ics is not None:
        from federation.files import write_whole
        from reservations.ics import openings_document

        write_whole(ics, openings_document(answers, need_words(need), clouds.now))
        messages().print(f"windows: {ics}")
    if as_json:
        print_json(
            {"need": need_words(need), "answers": [answer_document(one) for one in answers], "remarks": told}
        )
    else:
        _show(answers, told, need_words(need), clouds.now)
    if not any(one.openings for one in answers):
        raise typer.Exit(DOES_NOT_FIT)


@app.command(epilog="Example: fairlead space now. Exit status: 0 done, 2 wrong usage.")
def now(
    site: SiteOption = None,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is free now at each site, and until when the site is full where it is."""
    from datetime import timedelta

    from fairlead.cli._space import asked
    from reservations.answers import State, state_now
    from reservations.asking import remarks

    clouds = asked(catalogue, cloud)
    known = clouds.known(site, clouds.now + timedelta(days=1))
    # a way of booking that has no host now is no space; its remarks say why
    states: list[State] = [state_now(each, clouds.now) for one in known for each in one.calendars]
    shown = [one for one in states if one.hosts]
    told = [
        *remarks(known, []),
        *dict.fromkeys(f"{one.site}: {text}" for one in states for text in one.remarks),
    ]
    if as_json:
        print_json({"sites": [one.document() for one in shown], "remarks": told})
        return
    console = output()
    lines = table(
        "site", "booked as", "hosts free", "cores free", "memory free", "GPUs free", "full until", "seen"
    )
    for one in shown:
        lines.add_row(*one.cells(clouds.now))
    console.print(lines)
    tell(told)


def _show(answers: list[Answer], told: list[str], need: str, now: datetime) -> None:
    from reservations.answers import compromise_words, host_words, how_seen, span_words
    from reservations.calendar import Sight

    console = output()
    fitting = [one for one in answers if one.openings]
    if not fitting:
        hidden = any(one.calendar.sight is not Sight.ALL for one in answers)
        unknown = ", as far as the sites show what is taken" if hidden else ""
        console.print(f"no site is known to have room for {need} in the asked range{unknown}")
        for one in answers:
            for obstacle in one.obstacles:
                console.print(f"  {one.calendar.site} ({one.calendar.kind}): {obstacle.text}")
    else:
        lines = table("site", "booked as", "from (UTC)", "it can start until", "on", "as known")
        for one in fitting:
            for opening in one.openings:
                names = host_words(one.calendar, opening.hosts)
                start, latest = span_words(opening)
                lines.add_row(
                    one.calendar.site, one.calendar.kind, start, latest, names, how_seen(one.calendar, now)
                )
        console.print(lines)
    nearest = [(one, other) for one in answers for other in one.alternatives]
    if nearest:
        console.print("\nsooner, or at all:" if fitting else "\nwhat would fit:")
        lines = table("site", "compromise", "from (UTC)")
        for one, other in nearest:
            lines.add_row(one.calendar.site, compromise_words(one, other), span_words(other.opening)[0])
        console.print(lines)
    tell(told)

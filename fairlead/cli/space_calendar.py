"""`fairlead space calendar`: what is taken of which host, by whom, until when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import CatalogueOption, JsonOption, messages, output, print_json
from fairlead.cli._space import CloudOption, SiteOption, table, tell
from federation.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from reservations.calendar import Calendar

app = typer.Typer()


@app.command(
    epilog="Example: fairlead space calendar --for 14d --png calendar.png. "
    "Exit status: 0 done, 2 wrong usage, 3 a picture can't be written."
)
def calendar(
    duration: Annotated[str, typer.Option("--for", help="How far ahead.")] = "14d",
    site: SiteOption = None,
    kind: Annotated[
        str | None,
        typer.Option(help='Only this way of booking, such as "physical:host"; else the one that shows most.'),
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw it into this file.")] = None,
    svg: Annotated[
        Path | None, typer.Option(help="Draw it into this file, with text that can be found.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page with the picture and a table.")] = None,
    ics: Annotated[Path | None, typer.Option(help="Write what is taken as an iCalendar file.")] = None,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is taken, host by host, as a table or as a picture."""
    from fairlead.cli._space import asked
    from federation.files import write_whole
    from federation.units import parse_duration
    from reservations.answers import calendar_document, most_telling
    from reservations.asking import remarks

    clouds = asked(catalogue, cloud)
    try:
        end = clouds.now + parse_duration(duration)
    except InputError as error:
        raise InputError(f"--for: {error}") from None
    known = clouds.known(site, end)
    shown = [each for each in (most_telling(one, kind) for one in known) if each is not None]
    told = list(
        dict.fromkeys(
            [*remarks(known, []), *(f"{one.site}: {text}" for one in shown for text in one.remarks)]
        )
    )
    for picture, form in ((png, "png"), (svg, "svg")):
        if picture is not None:
            from reports.space_calendar import rendered

            write_whole(picture, rendered(shown, clouds.now, end, clouds.now, form))
    if html is not None:
        from reports.space_page import page

        write_whole(html, page(shown, clouds.now, end, clouds.now, told).encode())
    if ics is not None:
        from reservations.ics import bookings_document

        write_whole(ics, bookings_document(shown, end, clouds.now))
    for written in (png, svg, html, ics):
        if written is not None:
            messages().print(f"calendar: {written}")
    if as_json:
        print_json({"calendars": [calendar_document(one) for one in shown], "remarks": told})
    elif not any((png, svg, html, ics)):
        _show(shown, clouds.now, told)


def _show(shown: list[Calendar], now: datetime, told: list[str]) -> None:
    from federation.units import format_count
    from reservations.answers import how_seen
    from reservations.words import amount_words

    console = output()
    for one in shown:
        hosts = format_count(len(one.hosts), "host")
        console.print(f"{one.site}: {one.kind}, {hosts}, seen {how_seen(one, now)}")
        names = {host.id: host.name for host in one.hosts}
        lines = table("host", "from (UTC)", "until", "what", "for", "held by")
        for part in sorted(one.taken, key=lambda each: (names.get(each.host, each.host), each.start)):
            until = f"{part.end:%Y-%m-%d %H:%M}" if part.end else "further notice"
            what = "all of it" if part.amounts is None else amount_words(part.amounts)
            holder = "us" if part.ours is not None else part.holder or "not shown"
            lines.add_row(
                names.get(part.host, part.host),
                f"{part.start:%Y-%m-%d %H:%M}",
                until,
                what,
                part.name or "-",
                holder,
            )
        if one.taken:
            console.print(lines)
        else:
            console.print("  nothing is taken")
        console.print()
    tell(told)

"""`fairlead space afford`: what the remaining credits allow, before the cloud refuses."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import typer

from fairlead.cli._common import CatalogueOption, JsonOption, output, print_json
from fairlead.cli._need import takes_need
from fairlead.cli._space import (
    CloudOption,
    LengthOption,
    ProjectOption,
    SiteOption,
    table,
)
from federation.errors import InputError
from reservations.calendar import Need

app = typer.Typer()

NOT_ENOUGH = 1


@app.command(
    epilog="Example: fairlead space afford --cores 8 --for 24h. "
    "Exit status: 0 the credits allow it, 1 they don't, 2 wrong usage, 3 the credits can't be asked."
)
@takes_need
def afford(
    need: Need,
    duration: LengthOption = None,
    project: ProjectOption = None,
    site: SiteOption = None,
    catalogue: CatalogueOption = None,
    cloud: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the credits allow: how long for this size, how large for this long, and what it costs."""
    from fairlead.cli._space import accounts as purses_of
    from fairlead.cli._space import asked
    from reservations.afford import affordable, in_words, largest, left_in_words, longest, spoken
    from reservations.reading import read_range

    clouds = asked(catalogue, cloud)
    length = None if duration is None else read_range(duration, "now", "now", clouds.now)[0]
    places = [
        each for each in clouds.federation if each.credits is not None and (not site or each.id in site)
    ]
    if not places:
        raise InputError("nothing says what may be spent: expected a table [sites.ID.credits]")
    lines = table("site", "for so long", "so many", "this costs", "what is left")
    documents = []
    enough = False
    for each in places:
        accounts = purses_of(clouds, [each.id], project)
        most = longest(accounts, need, clouds.now).most
        units = None if length is None else largest(accounts, need, length, clouds.now).most
        fits = (
            affordable(accounts, need, length, clouds.now)
            if length is not None
            else bool(most is None or most)
        )
        enough = enough or fits
        words = "" if length is None else in_words(accounts, need, length, clouds.now)
        left = [left_in_words(account, clouds.now) for account in accounts] or ["no credits at all"]
        span = "any time" if most is None else spoken(most) if isinstance(most, timedelta) else str(most)
        many = "-" if length is None else "any" if units is None else str(units)
        lines.add_row(each.id, span, many, words or "-", "; ".join(left))
        documents.append(
            {
                "site": each.id,
                "allowed": fits,
                "longest_seconds": most.total_seconds() if isinstance(most, timedelta) else None,
                "most_units": units,
                "words": words,
                "accounts": [asdict(account) for account in accounts],
            }
        )
    if as_json:
        print_json({"sites": documents})
    else:
        output().print(lines)
    if not enough:
        raise typer.Exit(NOT_ENOUGH)

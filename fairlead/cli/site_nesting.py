"""`fairlead site nesting`: which containers can be made inside of a site's containers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._common import (
    CatalogueOption,
    DatabaseOption,
    JsonOption,
    messages,
    number,
    output,
    print_json,
)
from fairlead.cli._database import at

if TYPE_CHECKING:
    from broker.nesting import Nesting, Trial

app = typer.Typer()


@app.command()
def nesting(
    site: Annotated[
        str | None,
        typer.Argument(
            metavar="SITE", help="Try it there; without one, show what is known.", show_default=False
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            help="An image with sh, unshare, bwrap and podman; what it hasn't isn't tried.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            **number("--seconds", 1, 86_400, float), help="How long one try may take, its queue included."
        ),
    ] = 600.0,
    privileged: Annotated[
        bool, typer.Option(help="Try it in a privileged container, too, where the site has those.")
    ] = True,
    keep: Annotated[bool, typer.Option(help="Keep what was found: offers go by it.")] = True,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find out which kinds of container in a container work at a site: by a short job on its platform.

    \b
    Example:
      fairlead site nesting
      fairlead site nesting perth --image quay.io/podman/stable
    """
    from broker.nesting.store import read_nesting, write_nesting
    from federation.database import write
    from federation.errors import InputError

    if site is None:
        if image is not None:
            raise InputError("--image: expected with the SITE that is to be tried")
        with at(database) as engine, engine.connect() as connection:
            known = read_nesting(connection)
        _show(list(known.values()), as_json)
        return
    if image is None:
        raise InputError("--image: expected an image that the site can run, such as quay.io/podman/stable")
    found = _try(site, image, seconds, privileged, catalogue)
    if keep:
        with at(database) as engine, write(engine) as connection:
            write_nesting(connection, found)
    _show([found], as_json)


def _try(site_id: str, image: str, seconds: float, privileged: bool, catalogue: Path | None) -> Nesting:
    import asyncio
    from tempfile import TemporaryDirectory

    from broker.nesting.probe import try_nesting
    from broker.platforms import OffersItself, PlatformError, load_platform
    from fairlead.cli._probe import known_federation
    from federation.catalogue import builtin_federation
    from federation.clock import SystemClock
    from federation.errors import InputError, OutsideError

    federation = known_federation(catalogue) or builtin_federation()
    if site_id not in federation.sites:
        raise InputError(f"no site is called {site_id!r}: expected {', '.join(federation.sites)}")
    site, clock = federation[site_id], SystemClock()
    with TemporaryDirectory(prefix="fairlead-") as directory:
        platform = load_platform(site, federation, clock, Path(directory))
        if isinstance(platform, OffersItself):
            raise InputError(f"site {site_id!r} is run by a broker of its own: it is to be asked there")
        try:
            with messages().status(f"Trying containers in containers at {site_id}"):
                return asyncio.run(try_nesting(platform, site, image, clock.now(), seconds, privileged))
        except PlatformError as error:
            raise OutsideError(str(error)) from error


def _show(known: list[Nesting], as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        print_json([_document(each) for each in known])
        return
    if not known:
        messages().print("Nothing is known yet: fairlead site nesting SITE --image IMAGE tries it")
        return
    for each in known:
        table = Table(title=_title(each), title_justify="left", show_lines=True)
        for heading in ("kind", "container", "works", "what it said", "the operator would"):
            table.add_column(heading)
        for row in _rows(each):
            works = {True: "yes", False: "no", None: "not tried"}[row["works"]]
            table.add_row(row["kind"], row["container"], works, row["said"] or "-", row["remedy"] or "-")
        output().print(table)


def _title(known: Nesting) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in known.plain.facts.items() if value)
    return f"{known.site}, tried on {known.tried:%Y-%m-%d} in {known.image} ({facts})"


def _rows(known: Nesting) -> list[dict[str, Any]]:
    from broker.nesting import Attempt, Kind
    from broker.nesting.remedies import remedy

    trials: Mapping[str, Trial | str] = {"plain": known.plain, "privileged": known.privileged}
    rows: list[dict[str, Any]] = []
    for container, trial in trials.items():
        if isinstance(trial, str):
            rows.append({"kind": "-", "container": container, "works": None, "said": trial, "remedy": ""})
            continue
        for kind in Kind:
            attempt = trial.attempts.get(kind) or Attempt(127, "it wasn't tried")
            advice = remedy(kind, attempt) if attempt.works is False else ""
            row = {"kind": kind.value, "container": container, "works": attempt.works, "said": attempt.said}
            rows.append({**row, "remedy": advice})
    return rows


def _document(known: Nesting) -> dict[str, Any]:
    facts = known.plain.facts
    return {
        "site": known.site,
        "tried": known.tried,
        "image": known.image,
        "facts": dict(facts),
        "found": _rows(known),
    }

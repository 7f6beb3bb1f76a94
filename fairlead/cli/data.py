"""`fairlead data`: where data is, and what it would take to have it elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._common import CatalogueOption, DatabaseOption, JsonOption, messages, output, print_json
from federation.errors import InputError

if TYPE_CHECKING:
    from broker.catalogues.rucio_missing import AtSite
    from broker.catalogues.rucio_placement import Whereabouts
    from federation.sites import Federation

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Where data is, and what it would take to have it elsewhere.",
    epilog="Example: fairlead data where testing:ds1000",
)

NOT_ALL = 1
LOOK_SECONDS = 120.0
AN_IDENTIFIER = "an identifier in Rucio, SCOPE:NAME"


@app.callback()
def _group() -> None:
    pass


@app.command(
    epilog="Example: fairlead data where testing:ds1000 --site ral. "
    "Exit status: 0 done, 1 not all of it is at the --site, 2 wrong usage or no such data, "
    "3 Rucio can't be asked."
)
def where(
    did: Annotated[str, typer.Argument(help="The data, as Rucio names it: SCOPE:NAME.")],
    site: Annotated[str | None, typer.Option(help="Ask whether all of it is at this site (its id).")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Which Rucio, where the catalogue has several.")
    ] = None,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what each site has of a file, dataset or container in Rucio, and how long the rest would take."""
    from broker.catalogues.rucio_missing import at_sites
    from fairlead.cli._probe import measured_federation, opened_archive
    from federation.clock import SystemClock
    from netprobe.forecast import Forecaster

    scope, colon, name = did.partition(":")
    if not (scope and colon and name):
        raise InputError(f"{did!r}: expected {AN_IDENTIFIER}")
    federation = measured_federation(catalogue)
    if site is not None and site not in federation.sites:
        raise InputError(f"--site {site}: expected one of {', '.join(federation.sites)}")
    found = _found(federation, endpoint, scope, name)
    forecaster = Forecaster(opened_archive(database), federation, SystemClock())
    sites = at_sites(found, federation, forecaster.path)
    if site is not None:
        sites = [each for each in sites if each.site_id == site]
    if as_json:
        print_json(_document(found, sites))
    else:
        _show(found, sites)
    if site is not None and sites[0].missing_files:
        raise typer.Exit(NOT_ALL)


def _found(federation: Federation, endpoint: str | None, scope: str, name: str) -> Whereabouts:
    from broker.catalogues.rucio_client import Rucio
    from broker.catalogues.rucio_options import chosen_server
    from broker.catalogues.rucio_placement import looked_at
    from broker.catalogues.rucio_stores import Stores
    from fairlead.cli._rucio import in_words

    rucio = Rucio(chosen_server(federation, endpoint))
    until = time.monotonic() + LOOK_SECONDS
    with in_words(), messages().status(f"asking {rucio.where}"):
        return looked_at(rucio, Stores(rucio, federation), rucio.did(scope, name, until), until)


def _show(found: Whereabouts, sites: list[AtSite]) -> None:
    from rich.table import Table

    from federation.units import format_count, format_seconds, format_size

    def amount(files: int, size_bytes: int) -> str:
        if files == 0:
            return "nothing"
        what = "all" if files == found.files else format_count(files, "file")
        return f"{what}, {format_size(size_bytes)}"

    many = format_count(found.files, "file")
    title = f"{found.did}: {found.type}, {many}, {format_size(found.size_bytes)}"
    table = Table(title=title, title_justify="left")
    for heading in ("site", "there", "missing", "seconds 10 / 50 / 90 %", "from"):
        table.add_column(heading)
    for each in sites:
        seconds, sources = "", ""
        if each.staging is not None:
            of = each.staging.seconds
            seconds = " / ".join(format_seconds(value) for value in (of.p10, of.p50, of.p90))
            sources = ", ".join(
                f"{group.source or 'outside'} ({format_size(group.size_bytes)})"
                for group in each.staging.groups
            )
        if each.nowhere:
            sources = ", ".join(filter(None, [sources, f"{format_count(each.nowhere, 'file')} nowhere"]))
        there = amount(each.files, each.size_bytes)
        table.add_row(
            each.site_id,
            there if each.exact else f"at least {there}",
            amount(each.missing_files, each.missing_bytes),
            seconds,
            sources,
        )
    output().print(table)
    for holding in found.holdings:
        store = holding.store
        at = store.site_id or "no site of ours"
        remarks = [] if store.door else [f"by {' and '.join(store.schemes) or 'nothing'} alone"]
        remarks += ["on tape"] if store.tape else []
        remarks += [] if store.readable else ["can't be read now"]
        line = ", ".join([f"{store.rse} ({at}): {amount(holding.files, holding.size_bytes)}", *remarks])
        output().print(line)
    if not found.holdings:
        messages().print("no storage has anything of it")


def _document(found: Whereabouts, sites: list[AtSite]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "scope": found.scope,
        "name": found.name,
        "type": found.type,
        "files": found.files,
        "size_bytes": found.size_bytes,
        "storages": [
            {**asdict(each.store), "files": each.files, "size_bytes": each.size_bytes}
            for each in found.holdings
        ],
        "sites": [
            {
                "site": each.site_id,
                "files": each.files,
                "size_bytes": each.size_bytes,
                "exact": each.exact,
                "missing_files": each.missing_files,
                "missing_bytes": each.missing_bytes,
                "nowhere_files": each.nowhere,
                "seconds": asdict(each.staging.seconds) if each.staging else None,
                "sources": [
                    {"site": group.source, "files": group.files, "size_bytes": group.size_bytes}
                    for group in (each.staging.groups if each.staging else ())
                ],
            }
            for each in sites
        ],
    }

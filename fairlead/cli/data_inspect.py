"""`fairlead data inspect`: what is in a FITS file, without downloading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import CatalogueOption, JsonOption, messages, output, print_json
from federation.errors import InputError
from federation.units import format_count, format_size

if TYPE_CHECKING:
    from broker.inspect.describe import Hdu
    from broker.inspect.looking import Inspection

app = typer.Typer()
FAULTS = 1
# of a table, how many names of columns are shown
MOST_COLUMNS = 8


@app.command(
    epilog="Example: fairlead data inspect https://data.example.org/cube.fits. "
    "Exit status: 0 all of it was read and is right, 1 something is wrong with the file, or it is none, "
    "2 wrong usage, or an address that mustn't be fetched, 3 it can't be had."
)
def inspect(
    url: Annotated[str, typer.Argument(help="Where the file is (http, https, dav, davs).")],
    catalogue: CatalogueOption = None,
    here: Annotated[
        bool, typer.Option("--here", help="Read it from this machine, whatever its address is.")
    ] = False,
    headers: Annotated[bool, typer.Option("--headers", help="Show all cards of the headers, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look into a FITS file without downloading it: all headers, sizes, the memory that it takes.

    It is read at the site that stores it, in about one request for each HDU.
    """
    from broker.inspect.document import inspection_document
    from broker.inspect.looking import ForbiddenUrlError, look
    from fairlead.cli._probe import known_federation

    try:
        found = look(known_federation(catalogue), url, anywhere=here)
    except ForbiddenUrlError as error:
        raise InputError(
            f"{error}: --here reads it from this machine; a site's own storage is named by data_hosts in the "
            "catalogue"
        ) from None
    if as_json:
        print_json(inspection_document(found, headers))
    else:
        _show(found, headers)
    if found.faults or not found.complete:
        raise typer.Exit(FAULTS)


def _show(found: Inspection, headers: bool) -> None:
    from rich.table import Table

    out = output()
    size = "of unknown size" if found.size_bytes is None else format_size(found.size_bytes)
    place = "" if found.site is None else f", read at {found.site}"
    read = f"{format_size(found.read_bytes)} in {format_count(found.requests, 'request')}"
    out.print(f"{found.url}: {size}; {read}{place}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for title in ("HDU", "name", "kind", "shape", "type", "unit"):
        table.add_column(title)
    table.add_column("in the file", justify="right")
    table.add_column("in memory", justify="right")
    for hdu in found.hdus:
        table.add_row(
            str(hdu.number),
            hdu.name or "",
            hdu.kind,
            _shape(hdu),
            hdu.data_type or "",
            hdu.unit or "",
            format_size(hdu.data_bytes),
            format_size(hdu.memory_bytes),
        )
    out.print(table)
    for hdu in found.hdus:
        for line in _more(hdu):
            out.print(f"HDU {hdu.number}: {line}", soft_wrap=True)
        for card in hdu.header if headers else ():
            out.print(f"  {card}", soft_wrap=True)
    out.print(found.advice)
    for fault in found.faults:
        messages().print(fault, soft_wrap=True)


def _shape(hdu: Hdu) -> str:
    if hdu.kind in ("table", "ascii table"):
        rows = format_count(hdu.shape[0] if hdu.shape else 0, "row")
        return f"{rows}, {format_count(len(hdu.columns), 'column')}"
    return " x ".join(map(str, hdu.shape))


def _more(hdu: Hdu) -> list[str]:
    lines = []
    if hdu.columns:
        names = [f"{one.name or '?'} ({one.unit})" if one.unit else one.name or "?" for one in hdu.columns]
        rest = [] if len(names) <= MOST_COLUMNS else [f"and {len(names) - MOST_COLUMNS} more"]
        lines.append(f"columns {', '.join([*names[:MOST_COLUMNS], *rest])}")
    if hdu.footprint:
        corners = ", ".join(f"{longitude:.5f} {latitude:+.5f}" for longitude, latitude in hdu.footprint)
        lines.append(f"corners on the sky, in degrees: {corners}")
    return lines

"""`fairlead probe host`: what limits a data-transfer host."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import CatalogueOption, DatabaseOption, JsonOption, output, print_json
from federation.errors import InputError

if TYPE_CHECKING:
    from netprobe.host_check import Advice, PathFacts
    from netprobe.host_facts import HostFacts

app = typer.Typer()
ADVICE = 1


@app.command(
    epilog='Example: fairlead probe host perth --to manchester --rate "10 Gbit/s" --rtt "250 ms". '
    "Exit status: 0 nothing to change, 1 there is advice, 2 wrong usage, 3 the host can't be reached."
)
def host(
    site: Annotated[str, typer.Argument(help="The site whose host is looked at (its id).")],
    to: Annotated[
        str | None, typer.Option(help="The site at the other end; the longest path if not given.")
    ] = None,
    rate: Annotated[str | None, typer.Option(help="What the path should carry; the card's rate.")] = None,
    rtt: Annotated[str | None, typer.Option(help="The path's round trip; as measured.")] = None,
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what limits a site's host, and what to change. Nothing is changed there."""
    from fairlead.cli._probe import measured_federation, opened_archive
    from federation.units import parse_bits_per_second, parse_seconds
    from netprobe.host_check import check, path_facts
    from netprobe.host_facts import collect

    wanted_rate = None if rate is None else parse_bits_per_second(rate)
    wanted_rtt = None if rtt is None else parse_seconds(rtt)
    for option, value in (("--rate", wanted_rate), ("--rtt", wanted_rtt)):
        if value is not None and value <= 0:
            raise InputError(f"{option}: expected more than nothing")
    federation = measured_federation(catalogue)
    for one in (site, to):
        if one is not None and one not in federation.sites:
            known = ", ".join(federation.sites)
            raise InputError(f"no site is called {one!r} in {federation.name!r}: expected one of {known}")
    if to == site:
        raise InputError(f"--to {to}: expected another site than the one that is looked at")
    peer = None if to is None else federation[to].iperf3_address
    facts = asyncio.run(collect(federation[site].host, site, peer))
    path = path_facts(opened_archive(database).history(), facts, site, to, wanted_rate, wanted_rtt)
    advice = check(facts, path)
    if as_json:
        print_json(
            {
                "site": site,
                "path": asdict(path) | {"product_bytes": path.product_bytes},
                "facts": asdict(facts),
                "advice": [asdict(one) for one in advice],
            }
        )
    else:
        _show(site, facts, path, advice)
    if any(not one.note for one in advice):
        raise typer.Exit(ADVICE)


def _show(site: str, facts: HostFacts, path: PathFacts, advice: list[Advice]) -> None:
    from federation.units import format_bits_per_second, format_seconds, format_size

    console = output()

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    card = f"{facts.interface or 'no interface found'} ({facts.driver or facts.interface_kind or 'unknown'})"
    say(f"{site}: kernel {facts.kernel}, {facts.cpus} cores, {card}, MTU {facts.mtu_bytes}")
    if path.bits_per_second is not None:
        say(f"rate: {format_bits_per_second(path.bits_per_second)}, {path.rate_from}")
    if path.rtt_seconds is not None:
        say(f"round trip: {format_seconds(path.rtt_seconds)}, {path.rtt_from}")
    if path.product_bytes is None:
        say("buffers weren't judged: expected a rate and a round trip, by --rate and --rtt or measured")
    else:
        say(f"bandwidth-delay product: {format_size(path.product_bytes)}")
    for one in advice:
        say(f"\n{'note' if one.note else 'change'}: {one.topic}: {one.found}")
        say(f"  {one.change}")
        say(f"  says: {one.source}")
    if not any(not one.note for one in advice):
        say("\nnothing to change")

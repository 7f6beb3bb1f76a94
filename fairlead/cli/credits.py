"""`fairlead credits`: credits that limit reservations, for a cloud that has none of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import DatabaseOption, JsonOption, messages, number, output, print_json
from fairlead.cli._database import at as database_at
from federation.errors import InputError, OutsideError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from reservations.enforcement.ledger import Booking
    from reservations.enforcement.purses import Purse

app = typer.Typer(
    no_args_is_help=True,
    help="What projects may still reserve, and the service that keeps it.",
    epilog="Example: fairlead credits grant 8a7a9248a0024f9dbca6e48d2824791d 10000 --until 2027-01-01",
)

ProjectArgument = Annotated[
    str, typer.Argument(help="The project's id, as Keystone has it.", show_default=False)
]
CloudOption = Annotated[
    str | None,
    typer.Option(help="An administrator's cloud in clouds.yaml: its leases and flavours are looked at."),
]
UNIT = "core-hours"
PORT = 8089
RECONCILE_SECONDS = 60.0
MOST_CREDITS = 10**12
MOST_OF_A_FLAVOUR = 1_000_000
MOST_BOOKINGS = 10**9


@app.command()
def grant(
    project: ProjectArgument,
    amount: Annotated[
        float,
        typer.Argument(
            **number("AMOUNT", -MOST_CREDITS, MOST_CREDITS, float),
            help="How many credits.",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option(help="What the purse is called.")] = "credits",
    unit: Annotated[str, typer.Option(help="What is counted in it.")] = UNIT,
    price: Annotated[
        list[str] | None,
        typer.Option(help="What one unit of a class costs for an hour, as in PGPU=20; may be repeated."),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="Leases may be made from then on.")] = None,
    end: Annotated[str | None, typer.Option("--until", help="Leases may be made before then.")] = None,
    only_priced: Annotated[
        bool, typer.Option("--only-priced", help="Refuse what has no price, in place of giving it for free.")
    ] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Add to the purse of that name (or take, below 0).")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a project credits: a purse, that its leases are paid from while it is valid.

    Classes are those of Placement (VCPU, MEMORY_MB, DISK_GB, PGPU) and HOST for whole machines. A lease is
    paid by every purse that has a price for something of it. Instants are in UTC unless they have an offset.

    \b
    Examples:
      fairlead credits grant 8a7a9248a0024f9dbca6e48d2824791d 10000 --name 2026Q4 --until 2027-01-01
      fairlead credits grant 8a7a9248a0024f9dbca6e48d2824791d 500 --name 2026Q4 --add
    """
    from federation.clock import SystemClock
    from reservations.enforcement import purses

    now = SystemClock().now()
    begins, ends = _instant("--from", start, now), _instant("--until", end, now)
    with database_at(database) as engine:
        if add:
            purses.add(engine, project, name, amount)
        else:
            purses.grant(
                engine,
                now,
                project,
                name,
                amount,
                unit,
                _prices(price or ["VCPU=1"]),
                begins,
                ends,
                only_priced,
            )
        found = _purses(engine, project)
    _show_purses(found, [], as_json)


@app.command()
def show(
    project: Annotated[
        str | None, typer.Argument(help="One project's; everybody's without it.", show_default=False)
    ] = None,
    over: Annotated[bool, typer.Option("--over", help="Also leases that ended or were given up.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is left, and which leases it is spent on.

    \b
    Example:
      fairlead credits show
    """
    from federation.clock import SystemClock
    from reservations.enforcement.ledger import Ledger

    with database_at(database) as engine:
        found = _purses(engine, project)
        bookings = Ledger(engine, SystemClock()).bookings(project, over)
    _show_purses(found, bookings, as_json)


@app.command()
def flavour(
    name: Annotated[str, typer.Argument(help="The flavour's id, as leases name it.", show_default=False)],
    cores: Annotated[int, typer.Option(**number("--cores", 0, MOST_OF_A_FLAVOUR), help="Its virtual cores.")],
    memory: Annotated[str, typer.Option(help="Its memory, as in '16 GiB'.")],
    disk: Annotated[str, typer.Option(help="Its disk, as in '100 GiB'.")] = "0 GiB",
    gpus: Annotated[int, typer.Option(**number("--gpus", 0, MOST_OF_A_FLAVOUR), help="Its GPUs.")] = 0,
    database: DatabaseOption = None,
) -> None:
    """Say how large a flavour is: Blazar doesn't, when it asks. Not needed with `serve --cloud`.

    \b
    Example:
      fairlead credits flavour m1.large --cores 8 --memory "16 GiB" --disk "80 GiB"
    """
    from federation.units import parse_size_bytes
    from reservations.calendar import DISK_GB, MEMORY_MB, PGPU, VCPU
    from reservations.enforcement.purses import set_flavour

    amounts = {VCPU: cores, MEMORY_MB: parse_size_bytes(memory) >> 20, DISK_GB: parse_size_bytes(disk) >> 30}
    with database_at(database) as engine:
        set_flavour(engine, name, {**amounts, PGPU: gpus} if gpus else amounts)


@app.command()
def release(
    booking: Annotated[
        int,
        typer.Argument(
            **number("BOOKING", 1, MOST_BOOKINGS), help="A pending booking's number, as in `credits show`."
        ),
    ],
    database: DatabaseOption = None,
) -> None:
    """Give back what was paid for a lease that was allowed, but never made.

    \b
    Example:
      fairlead credits release 17
    """
    from federation.clock import SystemClock
    from reservations.enforcement.ledger import Ledger

    with database_at(database) as engine:
        if not Ledger(engine, SystemClock()).give_up(booking):
            raise InputError(
                f"booking {booking}: expected one that is pending, as in `fairlead credits show`"
            )


@app.command()
def reconcile(
    cloud: CloudOption = None, database: DatabaseOption = None, as_json: JsonOption = False
) -> None:
    """Compare what was paid for with the cloud's own leases, and put right what nobody told.

    `fairlead credits serve --cloud` does it by itself, every minute.

    \b
    Example:
      fairlead credits reconcile --cloud admin
    """
    from federation.clock import SystemClock
    from reservations.enforcement.cloud import LONG_LIST_SECONDS, all_leases
    from reservations.enforcement.reconcile import reconcile as compare
    from reservations.openstack.connection import Cloud

    clock = SystemClock()
    with database_at(database) as engine:
        asked_at = clock.now()
        leases = all_leases(Cloud(cloud, "--cloud"), LONG_LIST_SECONDS)
        done = compare(engine, clock, leases, asked_at)
    if as_json:
        print_json(asdict(done))
        return
    said = f"{done.confirmed} confirmed, {done.ended} ended, {done.given_up} given up"
    output().print(said)
    for lease in done.unpaid:
        messages().print(f"nothing was paid for lease {lease}: was it made while the service was away?")


@app.command()
def serve(
    token_file: Annotated[
        Path,
        typer.Option(help="The file with the secret that Blazar sends (external_service_token)."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(**number("--port", 0, 65535), help="Port; 0 is any free one.")] = PORT,
    cloud: CloudOption = None,
    gpus: Annotated[
        str | None, typer.Option(help="The capability of Blazar's hosts that counts their GPUs.")
    ] = None,
    exempt: Annotated[
        list[str] | None, typer.Option(help="A project that needs no credits; may be repeated.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer Blazar's ExternalServiceFilter until Ctrl-C: who may reserve what.

    In blazar.conf, [enforcement]: enabled_filters = ExternalServiceFilter, external_service_base_endpoint =
    http://127.0.0.1:8089/ and external_service_token. With --cloud it learns from the cloud what Blazar
    doesn't tell: leases that were never made, or ended unheard, and how large flavours are.

    \b
    Example:
      fairlead credits serve --token-file /etc/fairlead/credits-token --cloud admin
    """
    import logging
    from functools import partial

    from fairlead.serving import STOP_SECONDS, address_of, listen
    from federation.clock import SystemClock
    from federation.urls import is_loopback

    try:
        import uvicorn

        from reservations.enforcement.app import Enforcement, create_app
    except ModuleNotFoundError as error:
        raise OutsideError(f"the service needs {error.name}: pip install 'fairlead[broker]'") from error
    from reservations.enforcement.cloud import all_leases, flavour_amounts
    from reservations.openstack.connection import Cloud

    token, say = _secret(token_file), messages()
    asked = None if cloud is None else Cloud(cloud, "--cloud")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("reservations").setLevel(logging.INFO)
    with listen(host, port) as listening, database_at(database) as engine:
        enforcement = Enforcement(
            engine,
            SystemClock(),
            None if asked is None else partial(all_leases, asked),
            None if asked is None else partial(flavour_amounts, asked),
            gpus,
            exempt or (),
        )
        service = create_app(enforcement, token, None if asked is None else RECONCILE_SECONDS)
        config = uvicorn.Config(
            service, log_level="warning", access_log=False, timeout_graceful_shutdown=int(STOP_SECONDS)
        )
        running = uvicorn.Server(config)
        url = f"{address_of(listening)}/"
        say.print(f"external_service_base_endpoint = {url}")
        if not is_loopback(host):
            say.print("the token crosses the network as it is: put a proxy with TLS before this")
        if as_json:
            print_json({"url": url})
        running.run(sockets=[listening])
        if not running.started:
            raise typer.Exit(3)


def _secret(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"--token-file: {file} can't be read") from None
    if len(token) < 8:
        raise InputError(f"--token-file: expected a secret of at least 8 characters in {file}")
    return token


def _purses(engine: Engine, project: str | None) -> Sequence[Purse]:
    from federation.clock import SystemClock
    from reservations.enforcement.purses import read_purses

    with engine.connect() as connection:
        return read_purses(connection, SystemClock().now(), project)


def _prices(texts: Sequence[str]) -> Mapping[str, float]:
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            name = ""
        if not name.strip():
            raise InputError(f"--price: expected a class and its price, as in VCPU=1, got {text!r}")
    return found


def _instant(option: str, text: str | None, now: datetime) -> datetime | None:
    from federation.units import parse_instant

    if text is None:
        return None
    try:
        return parse_instant(text, now)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def _show_purses(purses: Sequence[Purse], bookings: Sequence[Booking], as_json: bool) -> None:
    from reservations.afford import amount

    if as_json:
        print_json(
            {
                "purses": [{"project": purse.project, **asdict(purse.account)} for purse in purses],
                "bookings": [asdict(booking) for booking in bookings],
            }
        )
        return
    if not purses:
        messages().print("nobody has credits: `fairlead credits grant PROJECT AMOUNT` gives some")
        return
    from rich.table import Table

    table = Table("project", "purse", "left", "granted", "unit", "an hour costs", "from", "until")
    for purse in purses:
        account = purse.account
        prices = ", ".join(f"{name} {amount(price)}" for name, price in account.per_hour.items())
        granted = "-" if account.granted is None else amount(account.granted)
        left = amount(account.left)
        table.add_row(
            purse.project,
            account.name,
            left,
            granted,
            account.unit,
            prices,
            _day(account.start),
            _day(account.end),
        )
    output().print(table)
    if bookings:
        listed = Table("booking", "project", "lease", "state", "start", "end", "paid")
        for each in bookings:
            paid = ", ".join(f"{amount(units)} of {name}" for name, units in each.paid.items()) or "-"
            listed.add_row(
                str(each.id), each.project, each.name, each.state, _day(each.start), _day(each.end), paid
            )
        output().print(listed)


def _day(instant: datetime | None) -> str:
    return "-" if instant is None else f"{instant:%Y-%m-%d %H:%M}"

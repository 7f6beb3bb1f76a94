"""From a request to a finished session, over the wire: shared by `fairlead run` and the demo."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fairlead.client import FINAL, BrokerClient, Document, Offer, instant_of, messages, site_of
from federation.errors import InputError
from federation.units import format_price, format_seconds, format_size

POLL_SECONDS = 0.5

# what `follow` reports: the session each time that its phase or its newest message has changed
OnChange = Callable[[Document], None]


def read_job(path: Path) -> str:
    """The text of a request file. Raises InputError where it can't be read or is no YAML mapping."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected YAML in UTF-8: {error.reason} at byte {error.start}") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: no YAML: {getattr(error, 'problem', None) or 'unreadable'}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a request with an `executable`, got {type(document).__name__}")
    return text


def offer_table(found: Sequence[Offer]) -> Table:
    """The offers, best first."""
    table = Table(title="Offers, best first", title_justify="left", title_style="bold")
    table.add_column("#", justify="right")
    table.add_column("site")
    table.add_column("start (UTC)")
    table.add_column("to move", justify="right")
    table.add_column("seconds 10 / 50 / 90 %", justify="right")
    table.add_column("cost", justify="right")
    table.add_column("result by (UTC)")
    for number, offer in enumerate(found, start=1):
        table.add_row(
            str(number),
            offer.site,
            _clock(offer.start),
            "-" if offer.transfer_bytes is None else format_size(offer.transfer_bytes),
            _quantiles(offer),
            _range(offer.cost),
            _clock(offer.result_by),
        )
    return table


def session_table(found: Sequence[Document]) -> Table:
    """Sessions, as they come."""
    table = Table(title="Sessions, newest first", title_justify="left", title_style="bold")
    for title in ("created (UTC)", "phase", "name", "site", "session"):
        table.add_column(title, no_wrap=title == "session")
    for session in found:
        meta = session.get("meta", {})
        table.add_row(
            _clock(instant_of(meta.get("created"))),
            str(session.get("phase", "?")),
            str(meta.get("name", "")),
            site_of(session),
            str(meta.get("uuid", "?")),
        )
    return table


def show_offers(console: Console, found: Sequence[Offer]) -> None:
    """The table, and below it why each offer stands where it does."""
    console.print(offer_table(found))
    for number, offer in enumerate(found, start=1):
        console.print(f"{number}. {offer.site}", style="bold")
        for reason in offer.reasons:
            console.print(Padding(Text(reason), (0, 0, 0, 3), expand=False))


def follow(
    client: BrokerClient, uuid: str, on_change: OnChange, poll_seconds: float = POLL_SECONDS
) -> Document:
    """Watch a session to its end and return it as it stands then."""
    seen: tuple[object, int, object] | None = None
    while True:
        session = client.session(uuid)
        told = messages(session)
        state = (session.get("phase"), len(told), told[-1].get("message") if told else None)
        if state != seen:
            seen = state
            on_change(session)
        if session.get("phase") in FINAL:
            return session
        time.sleep(poll_seconds)


class Narrator:
    """Prints each phase and each message of a session once, with the seconds since it was accepted.

    `known` are the texts that the user has read already, with the offer.
    """

    def __init__(self, console: Console, known: Iterable[str] = ()) -> None:
        self._console = console
        self._began = time.monotonic()
        self._phase: object = None
        self._told = set(known)

    def __call__(self, session: Document) -> None:
        phase = session.get("phase")
        if phase != self._phase:
            self._phase = phase
            self._line(Text(str(phase), style="bold"))
        for message in messages(session):
            text = str(message.get("message", ""))
            if text not in self._told:
                self._told.add(text)
                self._line(Text("  " + text))

    def _line(self, text: Text) -> None:
        passed = f"{time.monotonic() - self._began:7.1f} s"
        # wrapped lines stand below the text, not below the time
        grid = Table.grid(padding=(0, 2))
        grid.add_row(passed, text)
        self._console.print(grid)


def logs_of(client: BrokerClient, uuid: str) -> Document:
    """What a session's container printed; empty where the broker doesn't tell that (Fairlead does)."""
    try:
        return client.logs(uuid)
    except InputError:
        return {}


def container_output(logs: Document, stream: str = "stdout") -> str:
    """What the container printed on `stream`, of the answer of `logs_of`."""
    return str(logs.get(stream, ""))


def now() -> datetime:
    return datetime.now(UTC)


def _clock(instant: datetime | None) -> str:
    if instant is None:
        return "-"
    instant = instant.astimezone(UTC)
    same_day = instant.date() == now().date()
    return instant.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def _quantiles(offer: Offer) -> str:
    if offer.transfer_seconds is None:
        return "-"
    low, high = offer.transfer_seconds
    if high == 0:
        return "-"  # there is nothing to bring
    return f"{format_seconds(low)} / {offer.transfer_median or '?'} / {format_seconds(high)}"


def _range(cost: tuple[float, float] | None) -> str:
    if cost is None:
        return "-"
    low, high = cost
    least, most = format_price(low), format_price(high)
    return least if least == most else f"{least} to {most}"

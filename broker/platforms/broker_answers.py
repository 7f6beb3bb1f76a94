"""What another broker's documents say, read with care: it may be of another make, or wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from broker.contract.kinds import LOGS_CONNECTOR, STORAGE_CONNECTOR
from broker.contract.times import parse_duration, parse_instant, parse_interval
from broker.model import Connector, Figure, Level, Note, Outcome, Phase
from broker.platforms import ReadyOffer, SeenThere, Unreachable
from broker.platforms.container_log import TAIL_BYTES
from federation.errors import one_line

# what is passed on of another broker's messages
MOST_NOTES, LONGEST_NOTE, LONGEST_PATH = 20, 1000, 200
# offers of one answer that are looked at
MOST_OFFERS = 100
# of the values that are put into one message's template, and of an address
MOST_VALUES, LONGEST_URL = 50, 2000
# cores or GiB: nobody has a billion
MOST = 10**9
# offers without an expiry are believed for so long
LIFETIME = timedelta(minutes=5)


def read_offers(answer: Mapping[str, Any], now: datetime) -> list[ReadyOffer | Note]:
    """The offers of an OfferSetResponse; those that can't be understood are notes, as are its reasons."""
    if answer.get("result") != "YES":
        return [*notes_of(answer, {Level.ERROR, Level.WARN})]
    found: list[ReadyOffer | Note] = []
    for offer in _list(answer.get("offers"))[:MOST_OFFERS]:
        try:
            found.append(_offer(_map(offer), now))
        except (TypeError, ValueError, OverflowError) as error:
            text = "its broker made an offer that can't be understood: {reason}"
            found.append(Note("broker-offer", text, {"reason": one_line(error)[:200]}))
    return found


def read_session(session: Mapping[str, Any], logs: Mapping[str, Any] | None) -> SeenThere:
    """A session, with its logs where that broker tells them. Raises Unreachable for what is none."""
    try:
        phase = Phase(str(session.get("phase")))
    except ValueError:
        raise Unreachable(f"its broker tells of a phase {str(session.get('phase'))[:40]!r}") from None
    return SeenThere(phase, tuple(notes_of(session, set(Level))), tuple(_connectors(session)), _outcome(logs))


def notes_of(component: Mapping[str, Any], levels: set[Level]) -> Iterator[Note]:
    """The messages of a component, as ours: the text as it was rendered there."""
    passed = 0
    for message in _list(_map(component.get("meta")).get("messages")):
        text, level = _rendered(_map(message)), _level(_map(message))
        if text and level in levels and passed < MOST_NOTES:
            passed += 1
            path = _map(_map(message).get("values")).get("path")
            yield Note(
                "broker-message",
                "its broker says: {text}",
                {"text": text[:LONGEST_NOTE]},
                level,
                path if isinstance(path, str) and len(path) <= LONGEST_PATH else None,
            )


def _offer(offer: Mapping[str, Any], now: datetime) -> ReadyOffer:
    uuid = _map(offer.get("meta")).get("uuid")
    if not isinstance(uuid, str) or not uuid or not all(letter.isalnum() or letter == "-" for letter in uuid):
        raise ValueError("it has no uuid")
    compute = _map(offer.get("compute"))
    # the reference broker leaves the session's own schedule out
    available = _map(_map(offer.get("schedule")).get("available")) or _map(
        _map(compute.get("schedule")).get("available")
    )
    if not available.get("start") or not available.get("duration"):
        raise ValueError("it says neither when it starts nor for how long")
    first, last = parse_interval(str(available["start"]))
    duration = parse_duration(str(available["duration"]), first)
    if duration <= timedelta(0):
        raise ValueError("it ends before it starts")
    expires = parse_instant(str(offer["expires"])) if offer.get("expires") else now + LIFETIME
    return ReadyOffer(
        reference=uuid,
        start=first,
        start_within=max(last - first, timedelta(0)),
        duration=duration,
        cores=_least(compute, "cores"),
        memory_gib=_least(compute, "memory"),
        expires=expires.astimezone(UTC),
        costs=tuple(_figures(offer.get("costs"))),
        metrics=tuple(_figures(offer.get("metrics"))),
        notes=tuple(notes_of(offer, {Level.INFO, Level.WARN})),
    )


def _least(compute: Mapping[str, Any], part: str) -> int:
    """What is promised for certain: the minimum, or the maximum where no minimum is said."""
    found = _map(compute.get(part))
    value = found.get("min", found.get("max"))
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError(f"it says no {part}")
    return value


def _figures(items: Any) -> Iterator[Figure]:
    for item in map(_map, _list(items)):
        low, high = item.get("min", item.get("max")), item.get("max", item.get("min"))
        if isinstance(item.get("type"), str) and _number(low) and _number(high):
            description = str(item.get("description") or "")[:LONGEST_NOTE]
            yield Figure(item["type"], float(low), float(high), description)


def _connectors(session: Mapping[str, Any]) -> Iterator[Connector]:
    """Those of the container's ports: its logs and storage are there for us, not for our client."""
    for item in map(_map, _list(session.get("connectors"))):
        location = item.get("location")
        if not isinstance(location, str) or item.get("kind") in (LOGS_CONNECTOR, STORAGE_CONNECTOR):
            continue
        # what people click on, or paste into a terminal
        if len(location) > LONGEST_URL or not location.isascii() or not location.isprintable():
            continue
        try:
            parts = urlsplit(location)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        except ValueError:
            continue
        if not parts.hostname:
            continue
        protocol = str(item.get("protocol") or parts.scheme.upper())[:20]
        yield Connector(port, protocol, location, (parts.hostname,), port, access=True)


def _outcome(logs: Mapping[str, Any] | None) -> Outcome | None:
    if logs is None or not isinstance(logs.get("started"), str):
        return None
    code = logs.get("exit_code")
    ended = logs.get("ended")
    try:
        return Outcome(
            started=parse_instant(logs["started"]),
            ended=parse_instant(ended) if isinstance(ended, str) else None,
            exit_code=code if type(code) is int and abs(code) < 2**31 else None,
            stdout=_tail(logs.get("stdout")),
            stderr=_tail(logs.get("stderr")),
        )
    except ValueError:
        return None


def _tail(text: Any) -> str:
    """The last 64 KiB of an output, as our own platforms have it."""
    return str(text or "").encode(errors="replace")[-TAIL_BYTES:].decode(errors="replace")


def _rendered(message: Mapping[str, Any]) -> str:
    """The text, cut; brokers that send none send a template and values."""
    text = message.get("message")
    if not isinstance(text, str) or not text:
        # a few MB of template and value would be terabytes of text
        text = str(message.get("template") or "")[:LONGEST_NOTE]
        for name, value in islice(_map(message.get("values")).items(), MOST_VALUES):
            shown = str(value)[:LONGEST_NOTE]
            text = text.replace(f"${{{name}}}", shown).replace(f"{{{name}}}", shown)[:LONGEST_NOTE]
    # what moves a terminal's cursor, or no database takes, is a space
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * LONGEST_NOTE])
    return one_line(plain)


def _level(message: Mapping[str, Any]) -> Level:
    try:
        return Level(str(message.get("level")))
    except ValueError:
        return Level.INFO


def _number(value: Any) -> bool:
    """Whether it can be compared with others, which NaN can't."""
    return type(value) in (int, float) and abs(value) < float("inf")


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []

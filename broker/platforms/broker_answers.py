"""What another broker's documents say, read with care: it may be of another make, or wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from broker.contract.kinds import LOGS_CONNECTOR, STORAGE_CONNECTOR
from broker.contract.times import parse_duration, parse_instant, parse_interval
from broker.model import Connector, Figure, Level, Note, Outcome, Phase
from broker.platforms import ReadyOffer, SeenThere, Unreachable

# what is passed on of another broker's messages
MOST_NOTES, LONGEST_NOTE = 20, 1000
# offers without an expiry are believed for so long
LIFETIME = timedelta(minutes=5)


def read_offers(answer: Mapping[str, Any], now: datetime) -> list[ReadyOffer | Note]:
    """The offers of an OfferSetResponse; those that can't be understood are notes, as are its reasons."""
    if answer.get("result") != "YES":
        return [*notes_of(answer, {Level.ERROR, Level.WARN})]
    found: list[ReadyOffer | Note] = []
    for offer in _list(answer.get("offers")):
        try:
            found.append(_offer(_map(offer), now))
        except (TypeError, ValueError, OverflowError) as error:
            text = "its broker made an offer that can't be understood: {reason}"
            found.append(Note("broker-offer", text, {"reason": " ".join(str(error).split())[:200]}))
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
                path if isinstance(path, str) else None,
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
    expires = parse_instant(str(offer["expires"])) if offer.get("expires") else now + LIFETIME
    return ReadyOffer(
        reference=uuid,
        start=first,
        start_within=max(last - first, timedelta(0)),
        duration=parse_duration(str(available["duration"]), first),
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
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"it says no {part}")
    return value


def _figures(items: Any) -> Iterator[Figure]:
    for item in map(_map, _list(items)):
        low, high = item.get("min", item.get("max")), item.get("max", item.get("min"))
        if isinstance(item.get("type"), str) and _number(low) and _number(high):
            yield Figure(item["type"], float(low), float(high), str(item.get("description") or ""))


def _connectors(session: Mapping[str, Any]) -> Iterator[Connector]:
    """Those of the container's ports: its logs and storage are there for us, not for our client."""
    for item in map(_map, _list(session.get("connectors"))):
        location = item.get("location")
        if not isinstance(location, str) or item.get("kind") in (LOGS_CONNECTOR, STORAGE_CONNECTOR):
            continue
        try:
            parts = urlsplit(location)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        except ValueError:
            continue
        protocol = str(item.get("protocol") or parts.scheme.upper())
        yield Connector(port, protocol, location, (parts.hostname or "",), port, access=True)


def _outcome(logs: Mapping[str, Any] | None) -> Outcome | None:
    if logs is None or not isinstance(logs.get("started"), str):
        return None
    code = logs.get("exit_code")
    ended = logs.get("ended")
    try:
        return Outcome(
            started=parse_instant(logs["started"]),
            ended=parse_instant(ended) if isinstance(ended, str) else None,
            exit_code=code if isinstance(code, int) else None,
            stdout=str(logs.get("stdout") or ""),
            stderr=str(logs.get("stderr") or ""),
        )
    except ValueError:
        return None


def _rendered(message: Mapping[str, Any]) -> str:
    """The text; brokers that send none send a template and values."""
    text = message.get("message")
    if not isinstance(text, str) or not text:
        text = str(message.get("template") or "")
        for name, value in _map(message.get("values")).items():
            text = text.replace(f"${{{name}}}", str(value)).replace(f"{{{name}}}", str(value))
    return " ".join(text.split())


def _level(message: Mapping[str, Any]) -> Level:
    try:
        return Level(str(message.get("level")))
    except ValueError:
        return Level.INFO


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []

"""What a Skaha's documents say, read with care: they differ from version to version, and may be cut or wrong.

All functions raise ValueError, in words, for what they can't read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from broker.contract.times import parse_instant
from federation.errors import one_line

# what Skaha writes where it knows nothing, besides leaving the name out
NONE = "<none>"
# of a name or an address, and of what an event says: what is longer isn't known
LONGEST_TEXT, LONGEST_MESSAGE = 1000, 500
PENDING, RUNNING, TERMINATING = "Pending", "Running", "Terminating"
# of its versions, and of the Kubernetes below them
SUCCEEDED, FAILED = frozenset({"Completed", "Succeeded"}), frozenset({"Failed", "Error"})
INTERACTIVE = frozenset({"notebook", "contributed", "desktop", "carta", "firefly"})
# what goes into a path, and into what we keep
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AMOUNT = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)([KMGTPE]?)i?", re.IGNORECASE | re.ASCII)
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_GO_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")
_DURATION = r"(?:[0-9]{1,9}(?:\.[0-9]+)?(?:h|ms|m|s|us|µs|ns))+"
_PULLED = re.compile(rf" in (?P<pull>{_DURATION})(?: \((?P<whole>{_DURATION}) including waiting\))?")
# cores or GiB: no cluster has a billion
MOST = 10**9
# of what notes name all of
MOST_HOSTS, MOST_TYPES = 100, 20
_POWERS = {"": -3, "K": -2, "M": -1, "G": 0, "T": 1, "P": 2, "E": 3}


@dataclass(frozen=True)
class Image:
    """An image of Skaha's list: `id` is HOST/PROJECT/NAME:TAG, `types` the kinds of session it is for."""

    id: str
    types: frozenset[str]
    digest: str | None


@dataclass(frozen=True)
class Context:
    """The sizes that a session may have, smallest first; `interactive`: how many of a user's may be open."""

    cores: tuple[int, ...]
    memory_gib: tuple[int, ...]
    interactive: int | None


@dataclass(frozen=True)
class Free:
    """What of the cluster nobody has asked for, all nodes together."""

    cores: float
    memory_gib: float | None  # old versions don't say


@dataclass(frozen=True)
class Session:
    id: str
    name: str
    type: str
    status: str
    started: datetime | None
    connect_url: str | None
    # when Skaha would end it; old versions don't say
    expires: datetime | None = None
    image: str | None = None


def read_images(document: Any) -> tuple[Image, ...]:
    found = []
    for item in _list(document, "images"):
        if not isinstance(item, Mapping) or not _is_text(item.get("id")):
            continue
        types, digest = item.get("types", item.get("type")), item.get("digest")
        kinds = frozenset(filter(_is_text, types[:MOST_TYPES] if isinstance(types, list) else [types]))
        if kinds:
            found.append(Image(item["id"], kinds, digest if _is_text(digest) else None))
    return tuple(found)


def read_hosts(document: Any) -> tuple[str, ...]:
    """The registries that images may come from."""
    return tuple(host.lower() for host in _list(document, "registries")[:MOST_HOSTS] if _is_text(host))


def read_context(document: Any) -> Context:
    if not isinstance(document, Mapping):
        raise ValueError("its context is no JSON object")
    cores, memory = _sizes(document, "cores"), _sizes(document, "memoryGB")
    most = document.get("maxInteractiveSessions")
    return Context(cores, memory, most if type(most) is int else None)


def read_free(document: Any) -> Free:
    """What is left of the statistics' "available", which is all that there is, and not what is free."""
    cores, ram = (_map(document, part) for part in ("cores", "ram"))
    total, taken = (_number(cores.get(name)) for name in ("cpuCoresAvailable", "requestedCPUCores"))
    memory = None
    if "ramAvailable" in ram and "requestedRAM" in ram:
        memory = max(read_gib(ram["ramAvailable"]) - read_gib(ram["requestedRAM"]), 0.0)
    return Free(max(total - taken, 0.0), memory)


def read_gib(text: Any) -> float:
    """An amount of memory in GiB: Skaha's "G" are gibibytes, whether it writes "G" or "Gi"."""
    found = _AMOUNT.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{str(text)[:40]!r} is no amount of memory")
    return float(found[1]) * 1024.0 ** _POWERS[found[2].upper()]


def read_sessions(document: Any) -> tuple[Session, ...]:
    """Those that can be told apart; a desktop's applications, which are listed beside it, are none."""
    items = [item for item in _list(document, "sessions") if isinstance(item, Mapping)]
    return tuple(read_session(item) for item in items if item.get("type") != "desktop-app")


def read_session(document: Any) -> Session:
    if not isinstance(document, Mapping):
        raise ValueError("a session is no JSON object")
    if not _is_text(document.get("id")) or _ID.fullmatch(document["id"]) is None:
        raise ValueError("a session has no id")
    if not _is_text(document.get("status")):
        raise ValueError("a session has no status")
    url, image = document.get("connectURL"), document.get("image")
    return Session(
        document["id"],
        str(document.get("name") or "").lower(),
        str(document.get("type") or "headless"),
        document["status"],
        _instant(document.get("startTime")),
        url if _is_text(url) and url.startswith(("http://", "https://")) else None,
        _instant(document.get("expiryTime")),
        image if _is_text(image) else None,
    )


def read_id(body: bytes) -> str:
    """The id of a session that was just made: a line of text, in some versions a JSON list of one."""
    text = body.decode("ascii").strip()
    try:
        found = json.loads(text) if text.startswith("[") else [text]
    except RecursionError:
        raise ValueError("a list in a list in a list is no session's id") from None
    if len(found) != 1 or not _is_text(found[0]) or _ID.fullmatch(found[0]) is None or not found[0].isalnum():
        raise ValueError(f"{text[:40]!r} is no session's id")
    return str(found[0])


@dataclass(frozen=True)
class Event:
    """What Kubernetes did with a session, or couldn't do."""

    type: str
    reason: str
    message: str


def read_events(text: str) -> tuple[Event, ...]:
    """The events, oldest first: columns under a heading, of which the message may hold spaces."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or "MESSAGE" not in lines[0]:
        return ()
    start, end = lines[0].index("MESSAGE"), lines[0].find("FIRST-TIME")
    found = []
    for line in lines[1:]:
        words = line[:start].split()
        if len(words) >= 2:
            message = line[start:] if end < 0 else line[start:end]
            found.append(Event(words[0], words[1], one_line(message)[:LONGEST_MESSAGE]))
    return tuple(found)


def pull_seconds(events: Sequence[Event], image: str) -> float | None:
    """How long a node took to have `image`: 0 where it had it already, None where no event says so.

    The kubelet says "Successfully pulled image "X" in 2.1s (1m3.5s including waiting). Image size: ...", of
    which waiting for other pulls is part; versions before 1.27 know no waiting.
    """
    for event in events:
        if event.reason == "Pulled" and f'"{image}"' in event.message:
            found = _PULLED.search(event.message.partition(f'"{image}"')[2])
            if found is not None:
                return _seconds(found["whole"] or found["pull"])
            if "already present" in event.message:
                return 0.0
    return None


def _seconds(text: str) -> float:
    """A duration as Go writes it: "1h2m3.5s", "345.6ms", "12µs"."""
    return sum(float(number) * _GO_UNITS[unit] for number, unit in _GO_DURATION.findall(text))


def _instant(text: Any) -> datetime | None:
    """A time that isn't known, or isn't one, keeps nobody from knowing the rest."""
    try:
        return parse_instant(text) if _is_text(text) and text != NONE else None
    except ValueError:
        return None


def _list(document: Any, what: str) -> Sequence[Any]:
    if not isinstance(document, list):
        raise ValueError(f"its {what} are no JSON list")
    return document


def _map(document: Any, name: str) -> Mapping[str, Any]:
    part = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(part, Mapping):
        raise ValueError(f"its statistics have no {name}")
    return part


def _sizes(document: Mapping[str, Any], name: str) -> tuple[int, ...]:
    part = document.get(name)
    options = part.get("options") if isinstance(part, Mapping) else None
    given = options if isinstance(options, list) else ()
    sizes = [size for size in given if type(size) is int and 0 < size <= MOST]
    if not sizes:
        raise ValueError(f"its context has no options of {name}")
    return tuple(sorted(set(sizes)))


def _number(value: Any) -> float:
    # (not True, nor what JSON has no word for, such as NaN)
    if type(value) not in (int, float) or not abs(value) <= MOST:
        raise ValueError("its statistics have no figures")
    return float(value)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT

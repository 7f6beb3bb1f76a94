"""Slurm's own notations: lines of KEY=value, lists of nodes, times, amounts of resources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from federation.errors import OutsideError

# how jobs and reservations of ours are called, before our own name for them
PREFIX = "fairlead-"
MOST_NODES = 1_000_000
_KEY = re.compile(r"(?:^|\s)([A-Za-z][A-Za-z0-9_:/]*)=")
_RANGES = re.compile(r"([^\[\],]*)\[([^\]]*)\]([^,]*)")
_GPUS = re.compile(r"gpu(?::[^:(,]+)?[:=](\d+)")
_MEMORY = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}


def fields(line: str) -> Mapping[str, str]:
    """The fields of one line of `scontrol --oneliner`.

    Of a key that comes twice the first counts: what people wrote (comments, reasons) comes last, and may look
    like fields.
    """
    found: dict[str, str] = {}
    keys = list(_KEY.finditer(line))
    # a sentence, such as that there are none of them, has no keys
    for key, following in zip(keys, [*keys[1:], None], strict=False):
        value = line[key.end() : len(line) if following is None else following.start()]
        found.setdefault(key[1], value.strip())
    return found


def value_of(record: Mapping[str, str], key: str) -> str | None:
    """A field, None where Slurm says that there is none."""
    value = record.get(key, "")
    return None if value in ("", "(null)", "N/A", "n/a", "None", "Unknown", "UNLIMITED") else value


def whole_number(record: Mapping[str, str], key: str) -> int:
    """A field that is a whole number, 0 for any other."""
    value = record.get(key, "")
    return int(value) if value.isdecimal() else 0


def node_names(text: str | None) -> list[str]:
    """The nodes of "n[1-3,07],m1": every name. Raises OutsideError for what is no list of nodes."""
    names: list[str] = []
    for part in _split(text or ""):
        names.extend(_expanded(part))
        if len(names) > MOST_NODES:
            raise OutsideError(f"Slurm: a list of more than {MOST_NODES} nodes: {text!r}")
    return names


def _split(text: str) -> Iterator[str]:
    """At the commas outside of brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    if text[start:]:
        yield text[start:]


def _expanded(part: str) -> Iterator[str]:
    match = _RANGES.fullmatch(part)
    if match is None:
        if "[" in part:
            raise OutsideError(f"Slurm: expected nodes such as n[1-3], got {part!r}")
        yield part
        return
    prefix, ranges, rest = match.groups()
    for each in ranges.split(","):
        first, _, last = each.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise OutsideError(f"Slurm: expected nodes such as n[1-3], got {part!r}")
        if int(last or first) - int(first) > MOST_NODES:
            raise OutsideError(f"Slurm: a list of more than {MOST_NODES} nodes: {part!r}")
        for number in range(int(first), int(last or first) + 1):
            for end in _expanded(rest):
                yield f"{prefix}{number:0{len(first)}d}{end}"


def instant(text: str | None) -> datetime | None:
    """An instant as Slurm writes it where the time zone is UTC; None for one that it doesn't know."""
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=UTC)
    except ValueError:
        return None


def time_limit(text: str | None) -> timedelta | None:
    """ "1-00:00:00", "01:30:00" or "30:00" (minutes and seconds); None for no limit."""
    days, _, clock = (text or "").rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in parts) or (days and not days.isdecimal()):
        return None
    hours, minutes, seconds = (["0", "0", "0", *parts])[-3:] if len(parts) > 1 else ("0", parts[0], "0")
    return timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=int(seconds))


def tres(text: str | None) -> Mapping[str, int]:
    """ "cpu=2,mem=1000M,gres/gpu=1" as cpu, mem (in MB, rounded up) and gres/gpu."""
    found: dict[str, int] = {}
    for part in (text or "").split(","):
        name, _, value = part.partition("=")
        unit = value[-1:].upper()
        number = value[:-1] if unit in _MEMORY else value
        try:
            found[name] = -int(-float(number) * _MEMORY.get(unit, 1) // 1)
        except ValueError:
            continue
    return found


def gpus(text: str | None) -> int:
    """How many GPUs "gpu:a100:2(IDX:0-1),gpu:1" names."""
    return sum(int(count) for count in _GPUS.findall(text or ""))

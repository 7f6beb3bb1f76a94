"""Reading the fields of a plan's tables, each with a line that says what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from federation.errors import InputError
from federation.units import parse_seconds


def only(found: Mapping[str, Any], expected: set[str], where: str) -> None:
    """Raise InputError where there is another key."""
    for key in found:
        if key not in expected:
            raise InputError(f"{where}: unknown key {key!r}: expected one of {', '.join(sorted(expected))}")


def table(value: object, where: str) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a table, got {value!r}")
    return value


def tables(document: Mapping[str, Any], name: str, path: object, text: str) -> list[tuple[int, str, Any]]:
    """Of each [[name]]: its line, "FILE:LINE: [[name]]", and what it holds."""
    found = document.get(name, [])
    if not isinstance(found, list):
        raise InputError(f"{path}: {name}: expected tables [[{name}]], got {found!r}")
    header = re.compile(rf"\s*\[\[\s*{name}\s*\]\]")
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if header.match(line)]
    placed = []
    for index, one in enumerate(found):
        line = lines[index] if index < len(lines) else 0
        placed.append((line, f"{path}{f':{line}' if line else ''}: [[{name}]]", one))
    return placed


def seconds(value: object, where: str, least: float = 0.0) -> float:
    """A duration above `least`: 3, "3 s", "6 h"."""
    try:
        found = parse_seconds(value) if isinstance(value, str) else value
    except InputError as problem:
        raise InputError(f"{where}: {problem}") from problem
    if isinstance(found, bool) or not isinstance(found, int | float) or not least < found < float("inf"):
        raise InputError(f'{where}: expected a duration such as "30 s", got {value!r}')
    return float(found)


def count(value: object, where: str) -> int:
    """A whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where}: expected a whole number from 1 up, got {value!r}")
    return value


def names(value: object, where: str, expected: str = "a list of site ids") -> tuple[str, ...]:
    """Names, each once, and at least one."""
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise InputError(f"{where}: expected {expected}, got {value!r}")
    if len(set(value)) < len(value):
        raise InputError(f"{where}: expected each site once, got {value!r}")
    return tuple(value)


def sites(value: object, groups: Mapping[str, tuple[str, ...]], where: str) -> tuple[str, ...] | None:
    """Ids of sites from "all" (None), a group's name, or a list of ids and names of groups."""
    if value == "all":
        return None
    listed = [value] if isinstance(value, str) and value in groups else value
    if isinstance(listed, str):
        known = f" ({', '.join(groups)})" if groups else ""
        raise InputError(f'{where}: expected "all", a group{known}, or a list of site ids, got {value!r}')
    chosen: list[str] = []
    for name in names(listed, where, '"all" or a list of site ids'):
        # a site may be in several of the groups
        chosen += [site for site in groups.get(name, (name,)) if site not in chosen]
    return tuple(chosen)


def pairs(value: object, where: str) -> tuple[tuple[str, str], ...]:
    """Pairs of site ids."""

    def is_pair(pair: object) -> bool:
        return isinstance(pair, list) and len(pair) == 2 and all(isinstance(site, str) for site in pair)

    if not isinstance(value, list) or not value or not all(is_pair(pair) for pair in value):
        raise InputError(f'{where}: expected a list such as [["perth", "lausanne"]], got {value!r}')
    return tuple((source, destination) for source, destination in value)

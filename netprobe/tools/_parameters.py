"""Reading the parameters of a test: numbers in SI units, or text with a unit as people write it in a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from federation.errors import InputError
from federation.units import parse_bits_per_second, parse_seconds, parse_size_bytes


def known(tool: str, parameters: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise InputError where there is a parameter that `tool` doesn't have."""
    expected = sorted(names)
    for name in parameters:
        if name not in expected:
            raise InputError(f"{tool}: unknown parameter {name!r}: expected one of {', '.join(expected)}")


def seconds(tool: str, parameters: Mapping[str, Any], name: str, default: float) -> float:
    """A duration above zero: 3, 0.05, "3 s", "50 ms"."""
    value = parameters.get(name, default)
    if isinstance(value, str):
        value = parse_seconds(value)
    if not _number(value) or value < 0:
        raise InputError(f'{tool}: {name}: expected a duration such as "3 s", got {value!r}')
    return float(value)


def whole_seconds(tool: str, parameters: Mapping[str, Any], name: str, default: int, least: int) -> int:
    """As `seconds`, for programs that read whole seconds only (iperf3 would silently cut 1.5 to 1)."""
    value = seconds(tool, parameters, name, default)
    if value != int(value) or value < least:
        raise InputError(f"{tool}: {name}: expected whole seconds, at least {least}, got {value:g} s")
    return int(value)


def count(tool: str, parameters: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    value = parameters.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"{tool}: {name}: expected a whole number from 1 to {most}, got {value!r}")
    return value


def bits_per_second(tool: str, parameters: Mapping[str, Any], name: str) -> float | None:
    """A rate above zero, or None where it isn't given: 1e6, "10 Mbit/s"."""
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        value = parse_bits_per_second(value)
    if not _number(value) or value <= 0:
        raise InputError(f'{tool}: {name}: expected a rate such as "10 Mbit/s", got {value!r}')
    return float(value)


def size_bytes(tool: str, parameters: Mapping[str, Any], name: str, most: int) -> int | None:
    """A whole number of bytes from 1 to `most`, or None where it isn't given: 1460, "4 MiB"."""
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        value = parse_size_bytes(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"{tool}: {name}: expected a size from 1 to {most} bytes, got {value!r}")
    return value


def one_of(tool: str, parameters: Mapping[str, Any], name: str, allowed: Sequence[int]) -> int | None:
    """One of a few numbers, or None where it isn't given."""
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or value not in allowed:
        expected = " or ".join(str(each) for each in allowed)
        raise InputError(f"{tool}: {name}: expected {expected}, got {value!r}")
    return int(value)


def flag(tool: str, parameters: Mapping[str, Any], name: str) -> bool:
    """True or false; false where it isn't given."""
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{tool}: {name}: expected true or false, got {value!r}")
    return value


def text(tool: str, parameters: Mapping[str, Any], name: str) -> str | None:
    """A word that isn't empty and can't be taken for an option, or None where it isn't given."""
    value = parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or value.startswith("-"):
        raise InputError(f"{tool}: {name}: expected a name, got {value!r}")
    return value


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value

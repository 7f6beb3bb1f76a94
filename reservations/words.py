"""Needs and amounts as people say them."""

from __future__ import annotations

from collections.abc import Mapping

from reservations import calendar
from reservations.calendar import Need


def binary_words(amount: int, unit: str) -> str:
    """A size as memory is sold: "256 GiB" for 262144 MiB; at most one digit behind the point."""
    units = ["MiB", "GiB", "TiB", "PiB"]
    value, place = float(amount), units.index(unit)
    while value >= 1024 and place < len(units) - 1:
        value, place = value / 1024, place + 1
    return f"{value:.1f}".removesuffix(".0") + f" {units[place]}"


def amount_words(amounts: Mapping[str, int]) -> str:
    """Amounts in words: "64 cores, 256 GiB memory, 2 GPUs, trait CUSTOM_GPU_A100".

    A class with a colon in its name is no amount of anything: a trait that the host must have (or must not,
    with an exclamation mark), or another condition, which is left out.
    """
    parts = []
    for name, amount in amounts.items():
        plural = "" if amount == 1 else "s"
        match name:
            case _ if not amount:
                continue
            case calendar.VCPU:
                parts.append(f"{amount} core{plural}")
            case calendar.MEMORY_MB:
                parts.append(f"{binary_words(amount, 'MiB')} memory")
            case calendar.DISK_GB:
                parts.append(f"{binary_words(amount, 'GiB')} disk")
            case calendar.PGPU:
                parts.append(f"{amount} GPU{plural}")
            case _ if name.startswith("trait:"):
                trait = name.removeprefix("trait:")
                parts.append(f"without trait {trait[1:]}" if trait.startswith("!") else f"trait {trait}")
            case _ if ":" in name:
                continue
            case _:
                parts.append(f"{amount} {name}")
    return ", ".join(parts)


def need_words(need: Need) -> str:
    """A need in words: "2 × 64 cores, 256 GiB memory"."""
    size = amount_words(need.amounts) or (f"flavour {need.flavour}" if need.flavour else "")
    if need.whole_hosts:
        hosts = f"{need.units} whole host{'' if need.units == 1 else 's'}"
        return f"{hosts} of at least {size}" if size else hosts
    return f"{need.units} × {size}" if need.units > 1 else size

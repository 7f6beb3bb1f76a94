"""Needs and amounts as people say them."""

from __future__ import annotations

from collections.abc import Mapping

from federation.units import format_size
from reservations import calendar
from reservations.calendar import Need


def amount_words(amounts: Mapping[str, int]) -> str:
    """Amounts in words: "64 cores, 256 GiB memory, 2 GPUs"."""
    parts = []
    for name, amount in amounts.items():
        plural = "" if amount == 1 else "s"
        match name:
            case _ if not amount:
                continue
            case calendar.VCPU:
                parts.append(f"{amount} core{plural}")
            case calendar.MEMORY_MB:
                parts.append(f"{format_size(amount << 20)} memory")
            case calendar.DISK_GB:
                parts.append(f"{format_size(amount << 30)} disk")
            case calendar.PGPU:
                parts.append(f"{amount} GPU{plural}")
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

"""Which autonomous system an address belongs to, by a table of the user's own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from federation.errors import InputError


@dataclass(frozen=True)
class AsnTable:
    """Networks and their numbers; the longest network that holds an address counts."""

    # (IP version, prefix length, network address) -> number
    numbers: dict[tuple[int, int, int], int]

    def asn(self, address: str) -> int | None:
        """The number for `address`; None where no network holds it, or it is no address."""
        try:
            there = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        for length in range(there.max_prefixlen, -1, -1):
            spare = there.max_prefixlen - length
            number = self.numbers.get((there.version, length, int(there) >> spare << spare))
            if number is not None:
                return number
        return None


def load_asn_table(path: Path) -> AsnTable:
    """Read lines "NETWORK NUMBER", as in "192.0.2.0/24 AS64500 Example"; "#" begins a comment.

    What follows the number is for people. Raises InputError with the line.
    """
    try:
        changed = path.stat().st_mtime_ns
        return _load(path, changed)
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "expected UTF-8 text"
        raise InputError(f"{path}: the table of networks can't be read: {why}") from problem


@lru_cache(maxsize=4)
def _load(path: Path, changed: int) -> AsnTable:
    # a mesh asks for the same table at every test
    with path.open(encoding="utf-8") as lines:
        return read_asn_table(lines, str(path))


def read_asn_table(lines: Iterable[str], name: str) -> AsnTable:
    """As `load_asn_table`, of lines that are there already."""
    numbers: dict[tuple[int, int, int], int] = {}
    for count, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        number = re.fullmatch(r"(?:AS)?(\d{1,10})", words[1], re.IGNORECASE) if len(words) > 1 else None
        try:
            network = ipaddress.ip_network(words[0])
        except ValueError:
            number = None
        if number is None:
            raise InputError(
                f'{name}:{count}: expected a network and its number such as "192.0.2.0/24 AS64500", '
                f"got {line.strip()[:80]!r}"
            )
        numbers[network.version, network.prefixlen, int(network.network_address)] = int(number[1])
    return AsnTable(numbers)

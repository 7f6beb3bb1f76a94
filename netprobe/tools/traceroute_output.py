"""What the `traceroute` program of Linux prints, as a list of hops."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

HEADER = re.compile(r"^traceroute to \S+ \(([^)\s]+)\), (\d+) hops max", re.MULTILINE)
HOP = re.compile(r"^ *(\d+)  ?(.*)$", re.MULTILINE)
# in this order: an address in brackets belongs to the name before it
WORD = re.compile(
    r"(?P<silent>\*(?=\s|$))|(?P<rtt>[\d.]+) ms|\((?P<bracketed>[^)\s]+)\)|\[(?P<asn>[^\]]*)\]"
    r"|(?P<remark>![^\s]*)|(?P<word>\S+)"
)


@dataclass(frozen=True)
class Router:
    """One that answered at a hop. `remark` is traceroute's mark: "!H" no host, "!X" forbidden, and so on."""

    address: str
    name: str | None = None
    # numbers of autonomous systems; more than one where the address is announced by several
    asn: tuple[int, ...] = ()
    rtt_seconds: tuple[float, ...] = ()
    remark: str | None = None


@dataclass(frozen=True)
class Hop:
    """The answers at one distance: several routers where the path forks; none where all are silent."""

    ttl: int
    routers: tuple[Router, ...] = ()
    # probes that nobody answered
    lost: int = 0


@dataclass(frozen=True)
class Path:
    """A path as far as it was seen. `address` is that of the destination; None: the program never began."""

    address: str | None
    hops: tuple[Hop, ...] = ()
    loops: tuple[tuple[str, ...], ...] = field(default=())

    @property
    def destination(self) -> tuple[int, Router] | None:
        """At which distance the destination itself answered, and how."""
        for hop in self.hops:
            for router in hop.routers:
                if router.address == self.address:
                    return hop.ttl, router
        return None

    def document(self) -> dict[str, Any]:
        """As the archive keeps it: plain lists, seconds."""
        return {
            "address": self.address,
            "reached": self.destination is not None,
            "hops": [asdict(hop) for hop in self.hops],
            "loops": [list(loop) for loop in self.loops],
        }


def read(output: str) -> Path:
    """The path in traceroute's output, also where the program was ended before it had finished."""
    header = HEADER.search(output)
    if header is None:
        return Path(None)
    hops = tuple(_hop(int(ttl), words) for ttl, words in HOP.findall(output[header.end() :]))
    return Path(header[1], hops, tuple(loops(hops)))


def _hop(ttl: int, text: str) -> Hop:
    routers: list[Router] = []
    lost = 0
    name: str | None = None
    for word in WORD.finditer(text):
        match word.lastgroup:
            case "silent":
                lost += 1
            case "word":
                # a name, if brackets follow; else the address itself, which is how `-n` prints it
                name = word["word"]
                routers.append(Router(name))
            case "bracketed" if routers and name is not None:
                named = name if name != word["bracketed"] else None
                routers[-1] = replace(routers[-1], address=word["bracketed"], name=named)
                name = None
            case "asn" if routers:
                routers[-1] = replace(routers[-1], asn=_numbers(word["asn"]))
            case "rtt" if routers:
                rtts = (*routers[-1].rtt_seconds, float(word["rtt"]) / 1000)
                routers[-1] = replace(routers[-1], rtt_seconds=rtts)
            case "remark" if routers:
                routers[-1] = replace(routers[-1], remark=word["remark"])
    return Hop(ttl, _merged(routers), lost)


def _numbers(text: str) -> tuple[int, ...]:
    """Of "AS1/AS2"; nothing of "*", which is what is printed where nobody knows."""
    return tuple(int(number) for number in re.findall(r"AS(\d+)", text))


def _merged(routers: Sequence[Router]) -> tuple[Router, ...]:
    """One entry an address: where routers take turns, each is printed again."""
    found: dict[str, Router] = {}
    for router in routers:
        known = found.get(router.address)
        if known is None:
            found[router.address] = router
        else:
            rtts = known.rtt_seconds + router.rtt_seconds
            found[router.address] = replace(known, rtt_seconds=rtts, remark=known.remark or router.remark)
    return tuple(found.values())


def loops(hops: Sequence[Hop]) -> list[tuple[str, ...]]:
    """The rounds in which packets go, each once: the first addresses from one router to itself again.

    A router that answers at two neighbouring distances is none: one that doesn't count itself does that.
    """
    seen: dict[str, int] = {}
    found: list[tuple[str, ...]] = []
    firsts = [hop.routers[0].address if hop.routers else None for hop in hops]
    for index, hop in enumerate(hops):
        for router in hop.routers:
            before = seen.get(router.address)
            between = firsts[before + 1 : index] if before is not None else []
            if any(one is not None and one != router.address for one in between):
                loop = (router.address, *(one for one in between if one is not None))
                if not any(set(loop) == set(known) for known in found):
                    found.append(loop)
            seen[router.address] = index
    return found


def figures(path: Path) -> Mapping[str, float]:
    """hops and the round trip to the destination; nothing where it wasn't reached."""
    if path.destination is None:
        return {}
    ttl, router = path.destination
    found = {"hops": float(ttl)}
    if router.rtt_seconds:
        found["rtt_seconds"] = statistics.median(router.rtt_seconds)
        found["rtt_seconds_min"] = min(router.rtt_seconds)
    return found

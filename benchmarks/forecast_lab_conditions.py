"""What happens to the paths of benchmarks/forecast_lab.py: from round to round, by seed, and known to nobody
who forecasts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

# Each round stands for so many hours: a day is twelve rounds.
HOURS = 2.0


@dataclass(frozen=True)
class Condition:
    """A path during one round: its rate and delay against the usual ones, loss (fraction), and real iperf3
    flows that share it: so many of TCP, or one of UDP that asks for this part of the usual rate."""

    rate: float = 1.0
    delay: float = 1.0
    loss: float = 0.0
    flows: int = 0
    udp: float = 0.0


Schedule = Callable[[int, random.Random], list[Condition]]


def quiet(rounds: int, drawn: random.Random) -> list[Condition]:
    return [Condition()] * rounds


def _episodes(
    rounds: int, drawn: random.Random, begins: float, ends: float, draw: Callable[[], Condition]
) -> list[Condition]:
    """Episodes, each of one condition, that begin and end with these probabilities at each round."""
    found: list[Condition] = []
    now: Condition | None = None
    for _ in range(rounds):
        if now is None and drawn.random() < begins:
            now = draw()
        elif now is not None and drawn.random() < ends:
            now = None
        found.append(now or Condition())
    return found


def tcp_load(rounds: int, drawn: random.Random) -> list[Condition]:
    """One to three other transfers, for half a day on average."""
    return _episodes(rounds, drawn, 1 / 8, 1 / 6, lambda: Condition(flows=drawn.choice((1, 1, 2, 3))))


def udp_load(rounds: int, drawn: random.Random) -> list[Condition]:
    """A stream of data that yields to nobody."""
    return _episodes(rounds, drawn, 1 / 10, 1 / 8, lambda: Condition(udp=drawn.uniform(0.2, 0.6)))


def lossy(rounds: int, drawn: random.Random) -> list[Condition]:
    """Loss of 1 to 6 %, for a round or two."""
    return _episodes(rounds, drawn, 1 / 14, 2 / 3, lambda: Condition(loss=drawn.uniform(0.01, 0.06)))


def halves(rounds: int, drawn: random.Random) -> list[Condition]:
    at = round(rounds * drawn.uniform(0.45, 0.65))
    return [Condition(rate=0.5 if n >= at else 1.0) for n in range(rounds)]


def rerouted(rounds: int, drawn: random.Random) -> list[Condition]:
    """A detour of some days: longer and slower; then better than ever."""
    away, back = round(rounds * drawn.uniform(0.25, 0.35)), round(rounds * drawn.uniform(0.6, 0.7))
    detour, after = Condition(rate=drawn.uniform(0.5, 0.75), delay=2.0), Condition(rate=1.4)
    return [Condition() if n < away else detour if n < back else after for n in range(rounds)]


def day_and_night(rounds: int, drawn: random.Random) -> list[Condition]:
    """Slower from 8 to 18 h."""
    day = drawn.uniform(0.5, 0.7)
    return [Condition(rate=day if 8 <= n * HOURS % 24 < 18 else 1.0) for n in range(rounds)]


def wandering(rounds: int, drawn: random.Random) -> list[Condition]:
    """Each round depends on the one before."""
    level, found = 0.0, []
    for _ in range(rounds):
        level = 0.85 * level + drawn.gauss(0, 0.1)
        found.append(Condition(rate=min(max(1 + level, 0.3), 1.7)))
    return found


def noisy(rounds: int, drawn: random.Random) -> list[Condition]:
    """Each round for itself; one in twelve is bad."""
    return [
        Condition(rate=drawn.uniform(0.2, 0.6) if drawn.random() < 1 / 12 else drawn.lognormvariate(0, 0.12))
        for _ in range(rounds)
    ]


def everything(rounds: int, drawn: random.Random) -> list[Condition]:
    """Loads, now and then loss, and a link that loses a third of its rate."""
    at = round(rounds * drawn.uniform(0.4, 0.7))
    return [
        replace(load, loss=loss.loss, rate=2 / 3 if n >= at else 1.0)
        for n, (load, loss) in enumerate(
            zip(tcp_load(rounds, drawn), lossy(rounds, drawn), strict=True),
        )
    ]


@dataclass(frozen=True)
class Kind:
    """A kind of path, and the congestion control of its tests: BBR ignores the loss that halves CUBIC."""

    schedule: Schedule
    congestion: str


KINDS: dict[str, Kind] = {
    "quiet": Kind(quiet, "bbr"),
    "tcpload": Kind(tcp_load, "cubic"),
    "udpload": Kind(udp_load, "bbr"),
    "lossy": Kind(lossy, "cubic"),
    "halves": Kind(halves, "bbr"),
    "rerouted": Kind(rerouted, "cubic"),
    "daynight": Kind(day_and_night, "bbr"),
    "wandering": Kind(wandering, "bbr"),
    "noisy": Kind(noisy, "cubic"),
    "everything": Kind(everything, "cubic"),
}

"""Made-up paths for benchmarks/forecast.py: ten days of tests every two hours, and transfers in between."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from netprobe.measurement import Kind, Measurement, Origin
from netprobe.transfer_model import DEFAULT_MSS_BYTES, file_seconds

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
SPACING_HOURS = 2.0
TESTS = 120
RTT_SECONDS = 0.05

# natural logarithm of the rate over its usual value, at test number n
Level = Callable[[int, random.Random], float]


def steady(n: int, drawn: random.Random) -> float:
    return drawn.gauss(0, 0.02)


def noisy(n: int, drawn: random.Random) -> float:
    """Student's t with 3 degrees of freedom: now and then far out."""
    chi = sum(drawn.gauss(0, 1) ** 2 for _ in range(3))
    return 0.12 * drawn.gauss(0, 1) / math.sqrt(chi / 3)


def bursty() -> Level:
    """Other load comes and goes: for half a day the path carries 0.6 of what it does."""
    busy = False

    def level(n: int, drawn: random.Random) -> float:
        nonlocal busy
        busy ^= drawn.random() < 1 / 6
        return drawn.gauss(0, 0.06) + (math.log(0.6) if busy else 0.0)

    return level


def lossy() -> Level:
    """Episodes of loss: one test or two with a tenth to a half of the rate."""
    left = 0

    def level(n: int, drawn: random.Random) -> float:
        nonlocal left
        if left == 0 and drawn.random() < 0.05:
            left = drawn.choice((1, 1, 2))
        if left == 0:
            return drawn.gauss(0, 0.06)
        left -= 1
        return math.log(drawn.uniform(0.1, 0.5))

    return level


def halves(n: int, drawn: random.Random) -> float:
    return drawn.gauss(0, 0.08) + (math.log(0.5) if n >= 0.6 * TESTS else 0.0)


def day_and_night(n: int, drawn: random.Random) -> float:
    hour = n * SPACING_HOURS % 24
    return drawn.gauss(0, 0.06) + (math.log(0.55) if 8 <= hour < 18 else 0.0)


def wandering() -> Level:
    level_now = 0.0

    def level(n: int, drawn: random.Random) -> float:
        nonlocal level_now
        level_now = 0.8 * level_now + drawn.gauss(0, 0.08)
        return level_now

    return level


KINDS: dict[str, Callable[[], Level]] = {
    "steady": lambda: steady,
    "noisy": lambda: noisy,
    "bursty": bursty,
    "lossy": lossy,
    "halves": lambda: halves,
    "day-night": lambda: day_and_night,
    "wandering": wandering,
}


def synthetic(seed: int, copies: int) -> Iterator[Measurement]:
    """`copies` paths of each kind, the path's source named after it; every path with 120 tests, a ping and 40
    transfers of 20 MB to 2 GB whose mover has a gap to memory-to-memory tests of its own (0 to 25 %)."""
    drawn = random.Random(seed)
    for kind, make in KINDS.items():
        for copy in range(copies):
            level, usual = make(), math.exp(drawn.uniform(math.log(50e6), math.log(5e9)))
            gap = drawn.uniform(1.0, 1.25)
            ends = (f"{kind}-{copy}", f"to-{kind}-{copy}")
            yield _made(Kind.LATENCY, ends, BEGIN, 1.0, "ping", {"rtt_seconds": RTT_SECONDS})
            for n in range(TESTS):
                when = BEGIN + timedelta(hours=n * SPACING_HOURS + drawn.uniform(0, 0.5))
                rate = usual * math.exp(level(n, drawn))
                yield _made(Kind.THROUGHPUT, ends, when, 10.0, "iperf3", {"bits_per_second": rate})
                if n % 3 == 2:
                    # soon after the test, with its conditions and noise of its own
                    size = math.exp(drawn.uniform(math.log(20e6), math.log(2e9)))
                    ideal = file_seconds(size, rate, RTT_SECONDS, DEFAULT_MSS_BYTES)
                    seconds = ideal * gap * math.exp(drawn.gauss(0, 0.05))
                    figures = {"size_bytes": size, "files": 1.0, "seconds": seconds}
                    later = when + timedelta(minutes=20)
                    yield _made(Kind.TRANSFER, ends, later, seconds, "transfer", figures)


def _made(
    kind: Kind,
    ends: tuple[str, str],
    started: datetime,
    seconds: float,
    tool: str,
    figures: dict[str, float],
) -> Measurement:
    # all of slow start omitted: the rate is the figure itself
    parameters = {"omit": 10.0} if kind is Kind.THROUGHPUT else {}
    return Measurement(kind, *ends, started, seconds, tool, Origin.SCRIPTED, figures, parameters)

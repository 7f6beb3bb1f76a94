"""Pulls that were seen: kept in the database for a while, and what the next one will take by them.

A forecast has its own seconds for a pull: the path's, or what the operator says, and what an engine takes
besides. How many times as long earlier pulls took, by that same forecast, is learnt here, with its spread.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist

from sqlalchemy import Connection, delete, insert, select

from broker.images import Access, Image, Wanted
from broker.tables import pulls
from netprobe.cost import at_longest
from netprobe.quantiles import Quantiles
from netprobe.weights import age_weight, weighted_quantile

# pulls that nobody has asked for yet; older ones are dropped
MOST_UNTOLD = 256
# of one registry at one site; and for how long
MOST_KEPT = 100
LIFETIME = timedelta(days=60)
# registries, disks and uplinks change with months rather than with hours
HALF_LIFE_SECONDS = 7 * 24 * 3600.0
# how many new pulls the forecast itself is worth
PRIOR_COUNT = 3.0
# two pulls of the same never take quite the same time
FLOOR = 0.1


@dataclass(frozen=True)
class Pulled:
    """A pull that ended well: of what, which layers were in place before (by what they unpack to), and how
    long it took (seconds). 0: all of it was in place already, which nobody knew beforehand."""

    wanted: Wanted
    access: Access
    ended: datetime
    seconds: float
    there: frozenset[str] = frozenset()


class PullLog:
    """Pulls that nobody was told of yet. For any thread."""

    def __init__(self) -> None:
        self._untold: deque[Pulled] = deque(maxlen=MOST_UNTOLD)
        self._lock = threading.Lock()

    def add(self, pulled: Pulled) -> None:
        with self._lock:
            self._untold.append(pulled)

    def take(self) -> Sequence[Pulled]:
        """All of them, oldest first; each is told once."""
        with self._lock:
            found = tuple(self._untold)
            self._untold.clear()
        return found


@dataclass(frozen=True)
class Pull:
    """One pull as it is kept. `size_bytes` and `layers` are what wasn't in place; `seconds` 0: it all was."""

    site: str
    registry: str
    image: str
    ended: datetime
    size_bytes: int
    layers: int
    seconds: float


def pull_seen(site_id: str, pulled: Pulled, image: Image) -> Pull:
    """The pull as it is kept; `image` is what its registry says of it."""
    missing = image.missing(pulled.there)
    size_bytes = image.config_bytes + sum(layer.size_bytes for layer in missing)
    return Pull(
        site_id, image.registry, image.location, pulled.ended, size_bytes, len(missing), pulled.seconds
    )


def keep_pulls(connection: Connection, seen: Collection[Pull], now: datetime) -> None:
    """Write them down, and forget what is old or too much."""
    connection.execute(delete(pulls).where(pulls.c.ended < now - LIFETIME))
    for each in seen:
        row = {name: getattr(each, name) for name in _COLUMNS}
        connection.execute(insert(pulls).values(row))
    for site, registry in {(each.site, each.registry) for each in seen}:
        own = (pulls.c.site == site) & (pulls.c.registry == registry)
        newest = select(pulls.c.number).where(own).order_by(pulls.c.ended.desc(), pulls.c.number.desc())
        kept = connection.execute(newest.limit(MOST_KEPT)).scalars().all()
        connection.execute(delete(pulls).where(own, pulls.c.number.not_in(kept)))


def read_pulls(connection: Connection, sites: Collection[str], now: datetime) -> Sequence[Pull]:
    """Those at `sites` that count, oldest first."""
    counting = pulls.c.site.in_(sites) & (pulls.c.ended >= now - LIFETIME)
    rows = connection.execute(select(pulls).where(counting).order_by(pulls.c.ended, pulls.c.number))
    return [Pull(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows]


_COLUMNS = tuple(Pull.__dataclass_fields__)


@dataclass(frozen=True)
class Learnt:
    """What a pull will take (`seconds`), by `pulls` earlier ones, the newest at `newest`. They took `ratio`
    times (median) what was forecast without them, and the whole image was in place in a `present` share of
    the cases."""

    seconds: Quantiles
    pulls: int
    newest: datetime
    ratio: float
    present: float


def learn(
    forecast: Quantiles,
    image: str,
    size_bytes: int,
    seen: Sequence[Pull],
    expected: Callable[[int, int], float],
    now: datetime,
) -> Learnt | None:
    """What a pull of `size_bytes` of `image` will take, where `seen` are earlier ones from its registry at
    its site; None where there are none.

    `forecast` is what it takes without them, and `expected(size_bytes, layers)` the median of that for any
    pull. Logarithms of ratios are blended with the forecast's own, which counts as PRIOR_COUNT new pulls;
    the older a pull is, and the less like in size, the less it counts.
    """
    if not seen:
        return None
    real = [each for each in seen if each.seconds > 0]
    weights = [_weight(each, size_bytes, now) for each in real]
    logs = [
        math.log(max(each.seconds, 1e-3) / max(expected(each.size_bytes, each.layers), 1e-3)) for each in real
    ]
    share = sum(weights) / (sum(weights) + PRIOR_COUNT)
    middle = share * weighted_quantile(logs, weights, 0.5) if real else 0.0
    below, above = (math.log(forecast.p50 / forecast.p10), math.log(forecast.p90 / forecast.p50))
    if real:
        # about the blended middle: what pulls it towards the forecast is part of the doubt. Few pulls don't
        # show how far the next one may lie off: a sample's spread is that of the next by sqrt(1 + 1/n).
        wider = math.sqrt(1 + 1 / len(real))
        own_below = max(middle - weighted_quantile(logs, weights, 0.1), FLOOR) * wider
        own_above = max(weighted_quantile(logs, weights, 0.9) - middle, FLOOR) * wider
        below = math.sqrt(share * own_below**2 + (1 - share) * below**2)
        above = math.sqrt(share * own_above**2 + (1 - share) * above**2)
    ratio = math.exp(middle)
    median = forecast.p50 * ratio
    pulled = Quantiles(median * math.exp(-below), median, median * math.exp(above))
    present = _present(image, seen, now)
    return Learnt(at_longest(_mixed(pulled, present)), len(seen), seen[-1].ended, ratio, present)


def _weight(pull: Pull, size_bytes: int, now: datetime) -> float:
    """By its age, and half as much for each factor of 10 between the sizes."""
    apart = abs(math.log10(max(size_bytes, 1)) - math.log10(max(pull.size_bytes, 1)))
    return age_weight((now - pull.ended).total_seconds(), HALF_LIFE_SECONDS) * math.pow(0.5, apart)


def _present(image: str, seen: Sequence[Pull], now: datetime) -> float:
    """How likely it is that all of `image` is in place where nobody can say: how often it was, with one
    time that it wasn't added."""
    ages = [(each.seconds == 0, (now - each.ended).total_seconds()) for each in seen if each.image == image]
    weights = [(there, age_weight(age, HALF_LIFE_SECONDS)) for there, age in ages]
    return sum(weight for there, weight in weights if there) / (sum(weight for _, weight in weights) + 1.0)


def _mixed(pulled: Quantiles, present: float) -> Quantiles:
    """The quantiles of what takes no time with probability `present`, and else what `pulled` says: its
    logarithm is taken for two half-normal ones that meet in the median."""
    return Quantiles(*(_quantile(pulled, (each - present) / (1 - present)) for each in (0.1, 0.5, 0.9)))


def _quantile(pulled: Quantiles, probability: float) -> float:
    if probability <= 0:
        return 0.0
    steps = NormalDist().inv_cdf(min(max(probability, 1e-6), 1 - 1e-6)) / NormalDist().inv_cdf(0.9)
    end = pulled.p90 if steps > 0 else pulled.p10
    return pulled.p50 * math.exp(abs(steps) * math.log(end / pulled.p50))

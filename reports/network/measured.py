"""From what was read to the figures and the state of every path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import permutations

import numpy as np

from federation.sites import Federation
from netprobe.coverage import LATE
from netprobe.measurement import Kind
from reports.compare.observed import Failures, Observed, Reading, Rows
from reports.compare.pairs import nearest, usual_gap
from reports.compare.paths import packets
from reports.compare.statistics import Floats, quantiles
from reports.compare.ways import Quantity, Side
from reports.network.model import Ends, Figure, Like, Network, Sample, State, Tested, Tool

KINDS = (Kind.THROUGHPUT, Kind.LATENCY, Kind.LOSS)
# So many failures in a row, and a path doesn't work: one now and then is chance.
FAILING = 3
# A path whose newest test is longer ago than this part of the time is stale, whatever its interval.
STALE_SHARE = 0.1
# One-way delays there and back belong together within this.
_TOGETHER_SECONDS = 3600.0


def measured(
    reading: Reading,
    since: datetime,
    federation: Federation | None = None,
    sites: Sequence[str] | None = None,
) -> Network:
    """The network as it was read, looked at from `since` until `reading.until`; what was read from before
    `since` is there to be compared with. Sites are those named, else the catalogue's and those that were
    measured."""
    names = {site.id: site.name for site in federation or ()}
    seen = _seen(reading)
    known = sites_of(reading, federation, sites)
    begin, end = since.timestamp(), reading.until.timestamp()
    tested: dict[Kind, dict[Ends, Tested]] = {}
    for kind in KINDS:
        observed = reading.kinds.get(kind, {})
        found = {ends: _tested(kind, ends, observed.get(ends), begin, end) for ends in permutations(known, 2)}
        if any(one.tests for one in found.values()):
            tested[kind] = found
    figures = {
        quantity: {ends: _figure(reading, quantity, ends, tested, begin) for ends in permutations(known, 2)}
        for quantity in Quantity
    }
    return Network(
        since=since,
        until=reading.until,
        before=reading.since,
        sites=known,
        figures=figures,
        tested=tested,
        tools=tuple(_tools(reading, begin)),
        tests=sum(one.tests for of_kind in tested.values() for one in of_kind.values()),
        asked_for_a_rate=_asked_for_a_rate(reading, begin),
        remarks=tuple(_remarks(reading, [names.get(site, site) for site in known if site not in seen])),
        names=names,
        contacts={site.id: site.contact for site in federation or () if site.contact},
    )


def sites_of(reading: Reading, federation: Federation | None, sites: Sequence[str] | None) -> tuple[str, ...]:
    """The sites of the network: those named, else the catalogue's and those that were measured."""
    if sites is not None:
        return tuple(sites)
    return tuple(dict.fromkeys([*(site.id for site in federation or ()), *sorted(_seen(reading))]))


def _seen(reading: Reading) -> set[str]:
    return {site for kind in KINDS for path in reading.kinds.get(kind, {}) for site in path}


def _since(rows: Rows, begin: float) -> Rows:
    return rows.where(rows["started"] >= begin)


def _tested(kind: Kind, ends: Ends, observed: Observed | None, begin: float, end: float) -> Tested:
    good = bad = np.empty(0)
    error = ""
    if observed is not None:
        good = _merged([observed.of(side)["started"] for side in Side], begin)
        failures = [observed.failed(side) for side in Side]
        bad = _merged([one.times for one in failures], begin)
        error = _last(failures) if len(bad) else ""
    failing = int(len(bad) - bad.searchsorted(good[-1], "right")) if len(good) else len(bad)
    every = np.sort(np.concatenate((good, bad)))
    return Tested(
        kind,
        *ends,
        len(good),
        len(bad),
        failing,
        _instant(every),
        _instant(good),
        error,
        _state(every, len(good), failing, begin, end),
    )


def _merged(parts: Sequence[Floats], begin: float) -> Floats:
    together = np.sort(np.concatenate(parts))
    found: Floats = together[together.searchsorted(begin) :]
    return found


def _last(failures: Sequence[Failures]) -> str:
    return max((one for one in failures if len(one.times)), key=lambda one: float(one.times[-1])).last


def _instant(times: Floats) -> datetime | None:
    return datetime.fromtimestamp(float(times[-1]), UTC) if len(times) else None


def _state(every: Floats, succeeded: int, failing: int, begin: float, end: float) -> State:
    if not len(every):
        return State.MISSING
    if not succeeded or failing >= FAILING:
        return State.FAILED
    late = max(LATE * (usual_gap(every) or 0.0), STALE_SHARE * (end - begin))
    return State.STALE if end - every[-1] > late else State.MEASURED


def _figure(
    reading: Reading,
    quantity: Quantity,
    ends: Ends,
    tested: Mapping[Kind, Mapping[Ends, Tested]],
    begin: float,
) -> Figure:
    kind, of, like = _SAMPLES[quantity](reading, ends)
    now = [sample.between(begin, np.inf) for sample in like.values()]
    now = [sample for sample in now if len(sample)]
    state = tested[kind][ends].state if kind in tested else State.MISSING
    if not now:
        # tests that say nothing of this quantity are none of it
        return Figure(
            quantity, *ends, State.FAILED if state is State.FAILED else State.MISSING, of=of, like=like
        )
    values = np.concatenate([sample.values for sample in now])
    p10, middle, p90 = quantiles(values, (0.1, 0.5, 0.9))
    if quantity is Quantity.LOSS:
        middle = lost_share(now)
    return Figure(quantity, *ends, state, len(values), middle, p10, p90, of, like)


def lost_share(samples: Sequence[Sample]) -> float:
    """Packets lost of all that were sent; where no test says how many it sent, the mean of the tests."""
    values = np.concatenate([sample.values for sample in samples])
    sent = np.concatenate(
        [np.ones(len(sample)) if sample.packets is None else sample.packets for sample in samples]
    )
    return float(values @ sent / sent.sum()) if sent.sum() > 0 else float(values.mean())


_Found = tuple[Kind, str, dict[Like, Sample]]


def _rates(reading: Reading, ends: Ends) -> _Found:
    """Of TCP tests with as few streams as there are: one stream, where there are such tests."""
    found: dict[Like, Sample] = {}
    observed = reading.path(Kind.THROUGHPUT, *ends)
    for side in Side:
        for (protocol, streams, version), rows in observed.of(side).by_key().items():
            known = rows.where(rows["bits_per_second"] > 0)
            if protocol == "tcp" and len(known):
                found[Like(side, streams, version)] = _sample(known, "bits_per_second")
    fewest = min((like.streams for like in found), default=1)
    of = "" if fewest == 1 else f"{fewest} streams together"
    return Kind.THROUGHPUT, of, {like: one for like, one in found.items() if like.streams == fewest}


def _round_trips(reading: Reading, ends: Ends) -> _Found:
    """Of tests of latency; one-way delays there and back put together, where those are all; else the least
    that throughput tests saw."""
    found = _of_each(reading, Kind.LATENCY, ends, "rtt_seconds")
    if found:
        return Kind.LATENCY, "", found
    there, back = reading.path(Kind.LATENCY, *ends), reading.path(Kind.LATENCY, *ends[::-1])
    for side in Side:
        one, two = (rows.where(np.isfinite(rows["owd_seconds"])) for rows in (there.of(side), back.of(side)))
        left, right = nearest(one["started"], two["started"], _TOGETHER_SECONDS)
        both = one["owd_seconds"][left] + two["owd_seconds"][right]
        if (both > 0).any():
            found[Like(side, 1, None)] = Sample(one["started"][left][both > 0], both[both > 0])
    if found:
        return Kind.LATENCY, "one way and back", found
    found = _of_each(reading, Kind.THROUGHPUT, ends, "rtt_seconds_min")
    if found:
        return Kind.THROUGHPUT, "the least that throughput tests saw", found
    return Kind.LATENCY, "", {}


def _of_each(reading: Reading, kind: Kind, ends: Ends, name: str) -> dict[Like, Sample]:
    observed = reading.path(kind, *ends)
    found = {}
    for side in Side:
        rows = observed.of(side)
        known = rows.where(rows[name] > 0)
        if len(known):
            found[Like(side, 1, None)] = _sample(known, name)
    return found


def _sample(rows: Rows, name: str, sent: Floats | None = None) -> Sample:
    # copies: a column of the rows would keep all others, and there may be a million
    return Sample(rows["started"].copy(), rows[name].copy(), sent)


def _losses(reading: Reading, ends: Ends) -> _Found:
    """Of tests of latency and of loss alone: of packets there and back, or one way, as the tool has it."""
    found: dict[Like, Sample] = {}
    kind = Kind.LATENCY
    for tests in (Kind.LOSS, Kind.LATENCY):
        observed = reading.path(tests, *ends)
        for side in Side:
            rows = observed.of(side)
            known = rows.where(np.isfinite(rows["loss_ratio"]))
            if len(known):
                found[Like(side, 1, None)] = _sample(known, "loss_ratio", packets(known))
                kind = tests
    return kind, "", found


_SAMPLES = {Quantity.THROUGHPUT: _rates, Quantity.LATENCY: _round_trips, Quantity.LOSS: _losses}


def _tools(reading: Reading, begin: float) -> Iterator[Tool]:
    for kind in KINDS:
        for side in Side:
            tools: Counter[str] = Counter()
            times: list[Floats] = []
            failed = 0
            for observed in reading.kinds.get(kind, {}).values():
                rows = _since(observed.of(side), begin)
                if len(rows.ways) == 1:
                    tools[rows.ways[0].tool] += len(rows)
                elif len(rows):
                    for way, count in zip(rows.ways, np.bincount(rows["way"].astype(int)), strict=False):
                        tools[way.tool] += int(count)
                bad = observed.failed(side).times
                bad = bad[bad >= begin]
                failed += len(bad)
                times += [one for one in (rows["started"], bad) if len(one)]
            if times:
                first, last = min(float(one[0]) for one in times), max(float(one[-1]) for one in times)
                yield Tool(
                    side,
                    kind,
                    dict(sorted((name, tests) for name, tests in tools.items() if tests)),
                    failed,
                    datetime.fromtimestamp(first, UTC),
                    datetime.fromtimestamp(last, UTC),
                )


def _asked_for_a_rate(reading: Reading, begin: float) -> int:
    """UDP tests: they send what they are told to, and say nothing of what a path carries."""
    found = 0
    for observed in reading.kinds.get(Kind.THROUGHPUT, {}).values():
        for side in Side:
            rows = observed.of(side)
            other = np.array([way.protocol != "tcp" for way in rows.ways], bool)
            if other.any():
                found += int(other[_since(rows, begin)["way"].astype(int)].sum())
    return found


def _remarks(reading: Reading, unknown: Sequence[str]) -> Iterator[str]:
    for side, count in reading.ahead.items():
        yield f"{count:,} {side.value} results are dated in the future: a clock there is wrong."
    if unknown and any(reading.kinds.values()):
        yield f"Nothing was tested to or from {', '.join(unknown[:8])}" + (
            f" and {len(unknown) - 8} more." if len(unknown) > 8 else "."
        )

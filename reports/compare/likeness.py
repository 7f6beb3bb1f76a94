"""Like with like: which two series of a path are compared, what differs in how they were measured, and what
of that can be taken out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from federation.units import format_bits_per_second, format_seconds, format_size
from netprobe.transfer_model import DEFAULT_MSS_BYTES, sustained_bits_per_second
from reports.compare.model import Likeness, Trait
from reports.compare.observed import NOTHING, Rows
from reports.compare.statistics import Floats, median
from reports.compare.ways import Quantity, Side, Way, single_threaded

# Medians that differ by less than this are the same (segment sizes differ by TCP's options).
_NEAR = 0.03
# From here on a core is taken up by one thread.
FULL_CORE = 90.0
_NOT_KNOWN = "not known"
ONE_WAY = "one way"
# Paths that are alike share what says so: a million of these are a few hundred, and go quickly from one
# process to another.
_trait = lru_cache(4096)(Trait)


@dataclass(frozen=True)
class Values:
    """What is compared of one side: the rows' times and values, before and after what was normalised."""

    rows: Rows
    raw: Floats
    values: Floats
    # of throughput: "received" or "sent"; of latency and loss "round trip", "one way and back" or "one way"
    what: str

    @property
    def times(self) -> Floats:
        return self.rows["started"]


def matched(scripted: Rows, mesh: Rows) -> list[tuple[Rows, Rows]]:
    """Series of both sides that belong together: those of equal protocol, streams and IP version first, then
    the largest of what is left on both sides, then what has no partner (beside NOTHING)."""
    left, right = scripted.by_key(), mesh.by_key()
    found = [(left.pop(key), right.pop(key)) for key in list(left) if key in right]
    # a side that doesn't say its IP version may be of either
    for key in list(left):
        alike = [one for one in right if one[:2] == key[:2] and None in (one[2], key[2])]
        if alike:
            found.append((left.pop(key), right.pop(alike[0])))
    if not found and left and right:
        largest = [max(side, key=lambda key: len(side[key])) for side in (left, right)]
        found.append((left.pop(largest[0]), right.pop(largest[1])))
    found += [(rows, NOTHING) for rows in left.values()] + [(NOTHING, rows) for rows in right.values()]
    return found


def rates(scripted: Rows, mesh: Rows, rtt_seconds: float | None) -> tuple[Values | None, Values | None, str]:
    """The rates to compare, and a word on slow start: "", "normalised", or "not normalised".

    Where one side has the sender's rate only, the sender's is taken of both: what is on its way when a test
    ends has been sent, not received. Where tests are of different length, both are brought to the rate after
    slow start (`netprobe.transfer_model.sustained_bits_per_second`), for which the round trip must be known.
    """
    sides = {Side.SCRIPTED: scripted, Side.MESH: mesh}
    ways = {side: rows.usual_way() for side, rows in sides.items() if len(rows)}
    sent_only = [side for side, one in ways.items() if one.rate == "sent"]
    of_sender = len(ways) == 2 and len(sent_only) == 1
    found: dict[Side, Values | None] = {Side.SCRIPTED: None, Side.MESH: None}
    for side in ways:
        rows, column, what = sides[side], "bits_per_second", ways[side].rate or "received"
        if of_sender and side not in sent_only:
            known = np.isfinite(rows["sent_bits_per_second"])
            if known.mean() >= 0.5:
                rows, column, what = rows.where(known), "sent_bits_per_second", "sent"
        rows = rows.where(rows[column] > 0)
        if len(rows):
            found[side] = Values(rows, rows[column], rows[column], what)
    first, second = found[Side.SCRIPTED], found[Side.MESH]
    if first is None or second is None or _lengths(first.rows) == _lengths(second.rows):
        return first, second, ""
    if rtt_seconds is None or any(one.protocol != "tcp" for one in ways.values()):
        return first, second, "not normalised"
    return (
        replace(first, values=sustained(first.rows, first.raw, rtt_seconds)),
        replace(second, values=sustained(second.rows, second.raw, rtt_seconds)),
        "normalised",
    )


def sustained(rows: Rows, averages: Floats, rtt_seconds: float) -> Floats:
    """The rates after slow start. The factor is worked out at five rates of the series, and taken between."""
    way = rows.usual_way()
    segment = _median(rows["mss_bytes"]) or DEFAULT_MSS_BYTES
    duration = way.duration_seconds or median(rows["seconds"])
    places = np.unique(np.quantile(averages, (0, 0.25, 0.5, 0.75, 1)))
    # each stream ramps up by itself
    factors = [
        sustained_bits_per_second(rate / way.streams, way.omit_seconds, duration, rtt_seconds, segment)
        / (rate / way.streams)
        for rate in places
    ]
    found: Floats = averages * np.interp(averages, places, factors)
    return found


def traits(
    quantity: Quantity, scripted: Values, mesh: Values, slow: str, overlaps: dict[Side, float]
) -> tuple[Trait, ...]:
    """The table: what was the same, what was normalised, what differs, what isn't known."""
    one, two = scripted.rows.usual_way(), mesh.rows.usual_way()
    found = [_what(quantity, scripted, mesh)]
    if quantity is Quantity.THROUGHPUT:
        found += _of_throughput(one, two, scripted, mesh, slow, overlaps)
    else:
        found.append(_plain("IP version", one.ip_version, two.ip_version, str))
        found.append(_plain("statistic", one.round_trip or "median", two.round_trip or "median", str))
        found.append(_named("tool", one.tool, two.tool))
    return tuple(found)


def _what(quantity: Quantity, scripted: Values, mesh: Values) -> Trait:
    same = scripted.what == mesh.what
    remark = ""
    if quantity is Quantity.THROUGHPUT:
        name, likeness = "rate of", Likeness.SAME if same else Likeness.DIFFERS
        if not same:
            remark = "what is on its way at the end counts at the sender only"
        elif scripted.what == "sent" and scripted.rows.usual_way().rate != "sent":
            likeness, remark = Likeness.NORMALISED, "the sender's of both: the archive has no other"
    else:
        name, likeness = "of", Likeness.SAME
        if ONE_WAY in (scripted.what, mesh.what) and not same:
            likeness, remark = Likeness.DIFFERS, "nothing was measured the other way"
        elif not same:
            likeness = Likeness.NORMALISED
            remark = "one-way results of both directions put together: the clocks' offset cancels"
    return _trait(name, scripted.what, mesh.what, likeness, remark)


def _of_throughput(
    one: Way, two: Way, scripted: Values, mesh: Values, slow: str, overlaps: dict[Side, float]
) -> list[Trait]:
    first, second = scripted.rows, mesh.rows
    settings, software = _of_ways(one, two, slow)
    return [
        *settings,
        _measured("segment size", first["mss_bytes"], second["mss_bytes"], lambda size: f"{size:.0f} B"),
        *software,
        _measured(
            "processor of the sender", first["cpu_percent_source"], second["cpu_percent_source"], _share
        ),
        _measured(
            "processor of the receiver",
            first["cpu_percent_destination"],
            second["cpu_percent_destination"],
            _share,
        ),
        _overlap(overlaps),
    ]


# most paths of a mesh are tested in the same few ways
@lru_cache(1024)
def _of_ways(one: Way, two: Way, slow: str) -> tuple[tuple[Trait, ...], tuple[Trait, ...]]:
    """What the ways of testing tell: how the tests were set, and by what they were made."""
    lengths = tuple(
        f"{format_seconds(way.duration_seconds or 0)}, {format_seconds(way.omit_seconds)} omitted"
        for way in (one, two)
    )
    remark = {
        "": "",
        "normalised": "both brought to the rate after slow start",
        "not normalised": "the shorter test has more of slow start, which needs a round trip to be taken out",
    }[slow]
    likeness = {"": Likeness.SAME, "normalised": Likeness.NORMALISED}.get(slow, Likeness.DIFFERS)
    return (
        _plain("direction of the test", _direction(one), _direction(two), str),
        _plain("protocol", one.protocol, two.protocol, str.upper),
        _plain("streams", one.streams, two.streams, str),
        _trait("duration", lengths[0], lengths[1], likeness, remark),
        _plain("window", one.window_bytes or 0.0, two.window_bytes or 0.0, _size_or_auto),
        _plain(
            "rate asked for",
            one.target_bits_per_second or 0.0,
            two.target_bits_per_second or 0.0,
            lambda rate: format_bits_per_second(rate) if rate else "as much as goes",
        ),
        _plain("congestion control", one.congestion, two.congestion, str),
    ), (_plain("IP version", one.ip_version, two.ip_version, str), _versions(one, two))


def _direction(way: Way) -> str:
    if way.bidirectional:
        return "both ways at once"
    return "receiver asks" if way.reverse else "sender starts"


def _plain(name: str, one: Any, two: Any, words: Callable[[Any], str]) -> Trait:
    shown = [_NOT_KNOWN if value is None else words(value) for value in (one, two)]
    if one is None or two is None:
        return _trait(name, shown[0], shown[1], Likeness.UNKNOWN)
    return _trait(name, shown[0], shown[1], Likeness.SAME if one == two else Likeness.DIFFERS)


def _named(name: str, one: str, two: str) -> Trait:
    return _trait(name, one, two, Likeness.SAME if one == two else Likeness.DIFFERS)


def _measured(name: str, one: Floats, two: Floats, words: Callable[[float], str]) -> Trait:
    values = [_median(one), _median(two)]
    shown = [_NOT_KNOWN if value is None else words(value) for value in values]
    if values[0] is None or values[1] is None:
        return _trait(name, shown[0], shown[1], Likeness.UNKNOWN)
    # of processors, a difference matters only where one is near its end
    if words is _share:
        same = (values[0] >= FULL_CORE) == (values[1] >= FULL_CORE)
    else:
        same = abs(values[0] - values[1]) <= _NEAR * max(values[0], values[1])
    return _trait(name, shown[0], shown[1], Likeness.SAME if same else Likeness.DIFFERS)


def _versions(one: Way, two: Way) -> Trait:
    shown = [f"{way.tool} {way.client or ''}".strip() for way in (one, two)]
    if one.client is None or two.client is None:
        return _trait("tool", shown[0], shown[1], Likeness.SAME if one.tool == two.tool else Likeness.UNKNOWN)
    threads = [single_threaded(way.client) for way in (one, two)]
    remark = "before 3.16 all streams share one thread" if threads[0] != threads[1] else ""
    return _trait("tool", shown[0], shown[1], Likeness.DIFFERS if remark else Likeness.SAME, remark)


def _overlap(overlaps: dict[Side, float]) -> Trait:
    shown = [f"{100 * overlaps[side]:.0f} % of tests" for side in (Side.SCRIPTED, Side.MESH)]
    apart = abs(overlaps[Side.SCRIPTED] - overlaps[Side.MESH]) > 0.2
    remark = "tests at the same time at the same site share its link" if max(overlaps.values()) > 0.2 else ""
    return _trait(
        "beside other tests", shown[0], shown[1], Likeness.DIFFERS if apart else Likeness.SAME, remark
    )


def _lengths(rows: Rows) -> tuple[float | None, float]:
    way = rows.usual_way()
    return way.duration_seconds, way.omit_seconds


def _size_or_auto(size: float) -> str:
    return format_size(size) if size else "the system's"


def _share(percent: float) -> str:
    return f"{percent:.0f} % of a core"


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return median(known) if len(known) else None

"""A forecast in one sentence, with figures that a person can check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from federation.sites import Federation
from federation.units import format_age, format_bits_per_second, format_count, format_seconds
from netprobe.correction import Correction
from netprobe.evidence import Choice, Evidence, Rung, RungError
from netprobe.freed import Freed
from netprobe.history import History
from netprobe.measured import AHEAD
from netprobe.measurement import Kind, Measurement
from netprobe.quantiles import Quantiles
from netprobe.round_trips import RoundTrip


def explain(
    history: History,
    federation: Federation,
    source: str,
    destination: str,
    evidence: Evidence,
    rtt: RoundTrip,
    correction: Correction,
    now: datetime,
) -> str:
    """E.g. "6 iperf3 tests, newest 4 min old: 94.9 Mbit/s median (93.1 to 95.4), round trip 26.1 ms;
    corrected by 3 transfers (x1.04)"."""
    rate = _rate(evidence.rate.quantiles)
    tests = _tests(evidence.tests, now)
    trip = f"round trip {format_seconds(rtt.seconds)}{'' if rtt.measured else ' estimated from the distance'}"
    match evidence.rung:
        case Rung.SAME_SITE:
            text = f"the data is at {_name(federation, source)} already: {rate} assumed for a local copy"
        case Rung.MEASURED:
            text = f"{tests}: {rate}, {trip}{_choice(evidence.choice, now)}{_unlike(evidence)}"
        case Rung.OTHER_DIRECTION:
            text = f"not measured in this direction; from the other one, {tests}, made wider: {rate}, {trip}"
        case Rung.SITE_PATHS:
            where = f"{format_count(evidence.paths, 'other path')} of its two sites"
            text = f"path not measured; from {where}, {tests}, made wider: {rate}, {trip}"
        case Rung.ROUND_TRIP:
            where = f"{format_count(evidence.paths, 'path')} at a similar round trip"
            text = f"neither site's throughput measured; from {where}, {tests}, made wider: {rate}, {trip}"
        case _:
            text = f"nothing measured on or near this path; assumed from the distance: {rate}, {trip}"
    text += _wrong(evidence.error) + _ahead(evidence, now)
    return text + _failures(history.path(Kind.THROUGHPUT, source, destination)) + _corrected(correction)


def range_text(quantiles: Quantiles) -> str:
    """A rate's 10 % and 90 % quantiles, the unit said once where it is one: "93.1 to 95.4 Mbit/s"."""
    low, high = format_bits_per_second(quantiles.p10), format_bits_per_second(quantiles.p90)
    number, _, unit = low.partition(" ")
    return f"{number if unit == high.partition(' ')[2] else low} to {high}"


def _rate(rate: Quantiles) -> str:
    middle = format_bits_per_second(rate.p50)
    number, _, unit = range_text(rate).rpartition(" ")
    # the unit is said once only where all three have it
    once = unit == middle.partition(" ")[2] and "bit/s" not in number
    return f"{middle} median ({number if once else f'{number} {unit}'})"


def _tests(tests: Sequence[Measurement], now: datetime) -> str:
    if not tests:
        return "no tests"
    tools = " and ".join(sorted({test.tool for test in tests}))
    age = min((now - test.started).total_seconds() for test in tests)
    return f"{format_count(len(tests), f'{tools} test')}, newest {format_age(max(age, 0.0))} old"


def _choice(choice: Choice | None, now: datetime) -> str:
    """Which forecaster and why, and that tests before a change were left out."""
    if choice is None:
        return ""
    text = ""
    if choice.changed is not None:
        age = format_age(max((now - choice.changed).total_seconds(), 0.0))
        text += f"; the rate changed {age} ago, older tests are left out"
    if choice.chosen:
        text += (
            f"; by {choice.name}, wrong by {math.expm1(choice.error):.0%} in {choice.scored} past forecasts"
        )
    return text


def _unlike(evidence: Evidence) -> str:
    """That tests were made otherwise than transfers are, and what became of that."""
    if not evidence.sort.plain:
        return f"; all made {evidence.sort.words}, which transfers are not"
    if evidence.stand_in:
        return (
            "; the newest were made otherwise than transfers are, and are corrected by how far such are off"
        )
    if evidence.unlike and not evidence.sort.several:
        return f"; {format_count(evidence.unlike, 'test')} made otherwise than transfers are left out"
    return ""


def _wrong(error: RungError | None) -> str:
    """How wrong the rung is on the paths that were measured, as factors."""
    if error is None:
        return ""
    ratio = error.ratio.quantiles
    factors = f"x{ratio.p50:.2f} (x{ratio.p10:.2f} to x{ratio.p90:.2f})"
    return f"; this rung's error on {format_count(error.paths, 'measured path')}: {factors}"


def _ahead(evidence: Evidence, now: datetime) -> str:
    """That some clock is wrong, and what became of its tests."""
    if not evidence.ahead:
        return ""
    newest, tests = max(test.started for test in evidence.tests), format_count(evidence.ahead, "test")
    if newest - now <= AHEAD:
        return f"; {tests} dated in the future left out: check the clocks"
    by = format_age((newest - now).total_seconds())
    return f"; {tests} dated up to {by} in the future, taken as new: check the clocks"


def _failures(tests: Sequence[Measurement]) -> str:
    """How many tests of the path failed, and whether the newest ones all did."""
    failed = [test for test in tests if not test.succeeded]
    if not failed:
        return ""
    newest = next((index for index, test in enumerate(tests) if test.succeeded), len(tests))
    if newest == 0:
        return f"; {len(failed)} of the last {len(tests)} tests failed"
    if newest == len(tests):
        which = "every test"
    else:
        which = "the newest test" if newest == 1 else f"the newest {newest:,} tests"
    return f"; {which} of this path failed, last: {failed[0].error}"


def _corrected(correction: Correction) -> str:
    if correction.freed is not None:
        return _freed(correction.freed)
    factor = f"(x{correction.ratio.median:.2f})"
    if correction.transfers:
        return f"; corrected by {format_count(correction.transfers, 'transfer')} {factor}"
    if correction.anywhere:
        return f"; corrected by {format_count(correction.anywhere, 'transfer')} on other paths {factor}"
    return ""


def _freed(freed: Freed) -> str:
    """What transfers reach where tests were held down, and how sure that is."""
    by = [format_count(freed.transfers, "transfer")] if freed.transfers else []
    by += [format_count(freed.paths, "other path")] if freed.paths else []
    if freed.by_tests:
        by.append("what other tests give elsewhere")
    source = f"by {' and '.join(by)}" if by else "nothing is known of them here"
    return f"; transfers are taken to reach {_rate(freed.quantiles)}, {source}"


def _name(federation: Federation, site_id: str) -> str:
    site = federation.sites.get(site_id)
    return site.name if site else site_id

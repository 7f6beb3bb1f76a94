"""What is given up with age, and what never is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.retention import Pruned, Retention, prune, whole_buckets_before
from tests.netprobe.test_archive import NOON, measurement

HOUR = timedelta(hours=1)
NOW = NOON + timedelta(days=10)


def rate(megabits: float, minutes: float, **more: Any) -> Measurement:
    return measurement(minutes=minutes, figures={"bits_per_second": megabits * 1e6}, **more)


def ago(**age: float) -> timedelta:
    return NOW - NOON - timedelta(**age)


def test_raw_documents_go_and_their_rows_stay(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add(measurement(minutes=number, raw={"n": number}) for number in range(2500))
    policy = Retention(raw_after=ago(minutes=2400))
    assert prune(engine, policy, NOW, dry_run=True) == Pruned(raw=2400, removed=0, thinned=0)
    assert sum(one.raw is None for one in archive.all()) == 0
    assert prune(engine, policy, NOW) == Pruned(raw=2400, removed=0, thinned=0)
    assert [one.raw for one in archive.all()] == [None] * 2400 + [
        {"n": number} for number in range(2400, 2500)
    ]
    assert prune(engine, policy, NOW) == Pruned(0, 0, 0)


def test_old_rows_are_removed_of_every_kind(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add(measurement(minutes=number) for number in range(1500))
    archive.add([measurement(kind=Kind.PATH), measurement(error="source a: busy"), measurement(minutes=1600)])
    policy = Retention(remove_after=ago(minutes=1400))
    assert prune(engine, policy, NOW, dry_run=True) == Pruned(0, 1402, 0)
    assert prune(engine, policy, NOW) == Pruned(0, 1402, 0)
    assert min(one.started for one in archive.all()) == NOON + timedelta(minutes=1400)
    assert prune(engine, policy, NOW) == Pruned(0, 0, 0)


def test_the_row_that_came_last_stays_so_that_readers_see_what_comes_next(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add([measurement(minutes=10), measurement(minutes=0)])
    before = archive.version()
    assert prune(engine, Retention(remove_after=timedelta(0)), NOW) == Pruned(0, 1, 0)
    archive.add([measurement(minutes=5)])
    assert archive.version() > before


def test_a_bucket_is_thinned_to_the_measurement_of_its_median(engine: Engine) -> None:
    archive = Archive(engine)
    rates = [rate(megabits, minute) for minute, megabits in enumerate((50, 90, 10, 70, 60))]
    next_hour, newest = rate(5, 61), rate(1, 600)
    archive.add([*rates, next_hour, newest])
    policy = Retention(thin_after=ago(hours=3))
    assert prune(engine, policy, NOW, dry_run=True) == Pruned(0, 0, 4)
    assert prune(engine, policy, NOW) == Pruned(0, 0, 4)
    middle, *others = archive.all()
    assert (middle.id, middle.figures) == (rates[4].id, rates[4].figures)
    assert middle.parameters == {"samples": 5}
    assert others == [next_hour, newest]
    assert prune(engine, policy, NOW) == Pruned(0, 0, 0)


def test_what_is_found_later_is_weighed_with_what_stands_for_many(engine: Engine) -> None:
    archive, policy = Archive(engine), Retention(thin_after=ago(hours=3))
    archive.add([*(rate(50, minute) for minute in range(9)), rate(1, 600)])
    prune(engine, policy, NOW)
    archive.add([rate(99, 20), rate(98, 21), rate(1, 601)])
    assert prune(engine, policy, NOW).thinned == 2
    middle = next(iter(archive.all()))
    assert (middle.figures["bits_per_second"], middle.parameters["samples"]) == (50e6, 11)


def test_only_what_was_measured_in_the_same_way_is_thinned_together(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add(
        [
            rate(50, 1),
            rate(500, 2, parameters={"streams": 4}),
            rate(1, 3, parameters={"protocol": "udp"}),
            rate(50, 4, tool="nuttcp"),
            rate(50, 5, origin=Origin.PERFSONAR, archive="mesh"),
            measurement("b", "a", minutes=6),
            measurement(minutes=7, kind=Kind.LATENCY),
            rate(1, 600),
        ]
    )
    assert prune(engine, Retention(thin_after=ago(hours=3)), NOW) == Pruned(0, 0, 0)


def test_of_the_failures_of_a_bucket_the_last_stays_beside_the_median(engine: Engine) -> None:
    archive = Archive(engine)
    failed = [measurement(minutes=minute, figures={}, error=f"busy {minute}") for minute in range(10, 14)]
    archive.add([rate(50, 1), rate(60, 2), *failed, rate(1, 600)])
    assert prune(engine, Retention(thin_after=ago(hours=3)), NOW).thinned == 4
    assert [(one.error, one.parameters.get("samples")) for one in archive.all()] == [
        (None, 2),
        ("busy 13", 4),
        (None, None),
    ]


def test_all_three_together_count_each_row_once(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add(rate(number, number * 10, raw={"n": number}) for number in range(600))
    policy = Retention(raw_after=ago(hours=90), thin_after=ago(hours=50), remove_after=ago(hours=10))
    counted = prune(engine, policy, NOW, dry_run=True)
    assert prune(engine, policy, NOW) == counted
    hours = Counter((one.started - NOON) // HOUR for one in archive.all())
    assert min(hours) == 10
    assert set(list(hours.values())[:40]) == {1}
    assert set(list(hours.values())[40:]) == {6}
    assert counted == Pruned(raw=540, removed=60, thinned=200)


def test_a_bucket_of_thousands_and_thousands_of_buckets(engine: Engine) -> None:
    archive = Archive(engine)
    archive.add(rate(number % 7, number / 60) for number in range(3000))
    archive.add(rate(number % 7, 6000 + number * 5) for number in range(2500))
    archive.add([rate(1, 30000)])
    policy = Retention(thin_after=timedelta(0), bucket=timedelta(minutes=10))
    prune(engine, policy, NOW + timedelta(days=200))
    found = list(archive.all())
    assert len(found) == 5 + 1250 + 1
    assert sum(int(one.parameters.get("samples", 1)) for one in found) == 5501


@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_no_bucket_that_is_thinned_has_a_part_that_is_newer(bucket: timedelta, instant: datetime) -> None:
    end = whole_buckets_before(instant, bucket)
    assert timedelta(0) <= instant - end < bucket


@pytest.mark.parametrize("wrong", [{"raw_after": -HOUR}, {"thin_after": -HOUR}, {"bucket": timedelta(0)}])
def test_a_policy_without_sense_is_refused(wrong: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Retention(**wrong)

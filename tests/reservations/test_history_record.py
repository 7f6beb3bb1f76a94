"""Our own record of the clouds' use: once an hour, by whoever reads a calendar first, until it is too old."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from federation.clock import ManualClock
from federation.errors import OutsideError
from federation.sites import Space
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Calendar, Host, Rules, Sight, Taken
from reservations.credits import Account
from reservations.history.record import (
    HOSTS,
    KEPT,
    keeping,
    record,
    record_purses,
    recorded,
    recorded_purses,
    samples,
)
from reservations.snapshots import Snapshots
from reservations.sources import Placed

NOW = datetime(2026, 12, 1, 12, 34, tzinfo=UTC)
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def calendar(sight: Sight = Sight.ALL, kind: str = "parts") -> Calendar:
    """Three hosts, one of them out of use; 4 cores of the first are ours, all of the second somebody's."""
    hosts = tuple(Host(f"h{n}", f"n{n}", {VCPU: 8, MEMORY_MB: 1024, PGPU: n % 2}) for n in (1, 2))
    broken = Host("h3", "n3", {VCPU: 8, MEMORY_MB: 1024}, bookable=False)
    taken = (
        Taken("h1", NOW - HOUR, NOW + HOUR, {VCPU: 4, PGPU: 1}, "a", ours="imaging"),
        Taken("h2", NOW - HOUR, None, None, "b"),
        Taken("h1", NOW + HOUR, None, None, "later"),
    )
    return Calendar("perth", "cloud", kind, (*hosts, broken), taken, Rules(), NOW, NOW + 9 * HOUR, sight)


def test_what_is_taken_now_is_counted_by_class() -> None:
    found = {each.resource: (each.total, each.taken, each.ours) for each in samples(calendar(), NOW)}
    assert found == {VCPU: (16, 12, 4), MEMORY_MB: (2048, 1024, 0), PGPU: (1, 1, 1), HOSTS: (2, 2, 1)}
    assert {each.hour for each in samples(calendar(), NOW)} == {NOON}


def test_what_is_hidden_is_not_written_down_as_free(engine: sa.Engine) -> None:
    hidden = Calendar("perth", "blazar", "k", (Host("x", "x", {}, bookable=False),), (), Rules(), NOW, NOW)
    assert samples(calendar(Sight.NONE), NOW) == []
    assert samples(hidden, NOW) == []


def test_the_first_of_an_hour_stays_and_the_next_hour_is_another(engine: sa.Engine) -> None:
    first = samples(calendar(), NOW)
    record(engine, first, NOW)
    later = NOW + timedelta(minutes=20)
    record(engine, [each for each in samples(calendar(), later) if each.resource == VCPU], later)
    assert sorted(recorded(engine, NOON, NOON + HOUR), key=str) == sorted(first, key=str)
    record(engine, samples(calendar(), NOW + HOUR), NOW + HOUR)
    assert len(recorded(engine, NOON, NOON + 2 * HOUR)) == 8
    assert {each.hour for each in recorded(engine, NOON + HOUR, NOON + 2 * HOUR)} == {NOON + HOUR}


def test_what_is_too_old_is_forgotten(engine: sa.Engine) -> None:
    record(engine, samples(calendar(), NOW), NOW)
    record_purses(engine, "perth", [Account("q4", "hours", 7.5, 10.0, {}, NOW)], NOW)
    record(engine, [], NOW + KEPT - HOUR)
    record_purses(engine, "perth", [], NOW + KEPT - HOUR)
    assert recorded(engine, NOON, NOON + HOUR)
    assert [each.remaining for each in recorded_purses(engine, NOON, NOON + HOUR)] == [7.5]
    record(engine, [], NOW + KEPT)
    record_purses(engine, "perth", [], NOW + KEPT)
    assert not recorded(engine, NOON, NOON + HOUR)
    assert not recorded_purses(engine, NOON, NOON + HOUR)


def test_many_at_once_write_one_row(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: record(engine, samples(calendar(), NOW), NOW), range(16)))
    assert len(recorded(engine, NOON, NOON + HOUR)) == 4


class Parts:
    """A cluster with two partitions that share a node."""

    def calendars(self, start: datetime, end: datetime) -> list[Calendar]:
        nodes = {n: Host(f"n{n}", f"n{n}", {VCPU: 4}) for n in (1, 2, 3)}
        taken = Taken("n2", start - HOUR, None, None, "job 1")
        return [
            Calendar(
                "perth", "slurm", f"slurm:{name}", tuple(nodes[n] for n in of), (taken,), Rules(), start, end
            )
            for name, of in (("batch", (1, 2)), ("gpu", (2, 3)))
        ]


def test_a_cloud_in_parts_is_recorded_as_a_whole_too_and_shared_machines_count_once(
    engine: sa.Engine,
) -> None:
    clock = ManualClock(NOW)
    known = Snapshots([Placed("perth", Space("slurm"), Parts())], clock, None, keep=keeping(lambda: engine))
    for minutes in (0, 10, 50):
        clock.advance(minutes * 60)
        known.known(["perth"], NOW)
    found = recorded(engine, NOON, NOON + 9 * HOUR)
    cores = [(each.kind, each.hour, each.total, each.taken) for each in found if each.resource == VCPU]
    # at 12:34, not again at 12:44, and at 13:34
    hours = (NOON, NOON + HOUR)
    assert [each for each in cores if each[0] == "slurm"] == [("slurm", hour, 12, 4) for hour in hours]
    assert len(cores) == 6


def test_an_answer_is_given_where_nothing_can_be_recorded(caplog: pytest.LogCaptureFixture) -> None:
    def closed() -> sa.Engine:
        raise OutsideError("database: no room")

    known = Snapshots(
        [Placed("perth", Space("slurm"), Parts())], ManualClock(NOW), None, keep=keeping(closed)
    )
    with caplog.at_level(logging.WARNING):
        (site,) = known.known(["perth"], NOW)
    assert len(site.calendars) == 2
    assert site.remarks == ()
    assert "could not be recorded: database: no room" in caplog.text

"""Slurm's advance reservations: made once, seen in the calendar, used by their own jobs alone, given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.platforms import Platform, Status
from federation.clock import SystemClock
from federation.errors import OutsideError
from federation.sites import Place, Site, Space
from reservations.calendar import MEMORY_MB, VCPU, Need
from reservations.leases import LeaseState, RefusedError
from reservations.sources import Bookable, load_source
from reservations.sources.slurm_leases import SlurmLeases
from tests.contracts.platform_support import make_job, until_exited
from tests.slurm.cluster import Cluster
from tests.slurm.platform_support import job_ids, live, until_running
from tests.slurm.rest import Restd

SITE = Site("karratha", "Karratha", Place(-20.7, 116.8))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ONE = Need({VCPU: 1, MEMORY_MB: 1024})


def leases(cluster: Cluster, site: Site = SITE, **options: object) -> SlurmLeases:
    source = load_source(site, Space("slurm", {"conf": str(cluster.configuration), **options}), SystemClock())
    assert isinstance(source, Bookable)
    found = source.leases()
    assert isinstance(found, SlurmLeases)
    return found


def soon(minutes: int = 10) -> datetime:
    return (datetime.now(UTC) + minutes * MINUTE).replace(microsecond=0)


def test_asked_for_twice_it_is_one_and_given_up_twice_it_is_gone(slurm: Cluster) -> None:
    start = soon()
    made = leases(slurm).reserve("abc", ONE, "slurm", start, start + HOUR)
    assert (made.reference, made.state, made.end - made.start) == ("abc", LeaseState.PENDING, HOUR)
    assert leases(slurm).reserve("abc", ONE, "slurm", soon(), soon(70)) == made
    assert list(leases(slurm).list()) == [made]
    moved = leases(slurm).extend(made.id, made.end + HOUR)
    assert moved == replace(made, end=made.end + HOUR)
    leases(slurm).cancel(made.id)
    leases(slurm).cancel(made.id)
    assert leases(slurm).get(made.id) is None


def test_a_slurmrestd_that_makes_none_has_its_command_beside_it(slurm: Cluster, rest: Restd) -> None:
    made = leases(slurm, **rest.options()).reserve("abc", ONE, "slurm", None, soon(70))
    assert list(leases(slurm).list()) == [made]
    leases(slurm, **rest.options()).cancel(made.id)
    assert list(leases(slurm).list()) == []


def test_the_calendar_shows_the_cores_that_it_holds_as_ours(slurm: Cluster) -> None:
    made = leases(slurm).reserve("abc", ONE, "slurm", soon(), soon(70))
    now = datetime.now(UTC)
    source = load_source(SITE, Space("slurm", {"conf": str(slurm.configuration)}), SystemClock())
    (calendar,) = source.calendars(now, now + 3 * HOUR)
    [taken] = [each for each in calendar.taken if each.booking == f"reservation {made.id}"]
    assert (taken.ours, taken.amounts) == ("abc", {VCPU: 1, MEMORY_MB: 2000})
    assert (taken.start, taken.end) == (made.start, made.end)
    whole = leases(slurm).reserve("whole", Need({}, whole_hosts=True), "slurm", soon(), soon(70))
    (calendar,) = source.calendars(now, now + 3 * HOUR)
    assert [each.amounts for each in calendar.taken if each.booking == f"reservation {whole.id}"] == [None]


@pytest.mark.podman
def test_its_job_starts_in_it_and_takes_nothing_besides(slurm: Cluster, tmp_path: Path, image: str) -> None:
    lease = leases(slurm).reserve("abc", Need({VCPU: 2}, 2), "slurm", None, soon(70))
    assert lease.state is LeaseState.ACTIVE
    others = slurm.submit("--ntasks=1", "--time=5")
    job = replace(make_job(image, "sh", "-c", "sleep 1"), lease=lease)

    async def work(platform: Platform) -> Status:
        await platform.start(job)
        await until_running(platform, job)
        now = datetime.now(UTC)
        source = load_source(SITE, Space("slurm", {"conf": str(slurm.configuration)}), SystemClock())
        (calendar,) = await asyncio.to_thread(source.calendars, now, now + HOUR)
        [number] = job_ids(slurm, job)
        assert not [each for each in calendar.taken if each.booking == f"job {number}"]
        return await until_exited(platform, job)

    assert live(slurm, tmp_path, job, work).exit_code == 0
    # who has no part in it waits
    assert slurm.run("squeue", "--noheader", f"--jobs={others}", "--format=%T") == "PENDING"
    leases(slurm).cancel(lease.id)
    assert leases(slurm).list() == []


@pytest.mark.parametrize(
    ("need", "limit"), [(Need({VCPU: 4}, 1), "capacity"), (Need({VCPU: 1}, 3), "capacity")]
)
def test_what_it_cannot_hold_is_refused_and_leaves_nothing(slurm: Cluster, need: Need, limit: str) -> None:
    with pytest.raises(RefusedError) as caught:
        leases(slurm).reserve("abc", need, "slurm", soon(), soon(70))
    assert caught.value.limit == limit
    assert str(caught.value).startswith("karratha: ")
    assert leases(slurm).list() == []


def test_who_came_first_has_it(slurm: Cluster) -> None:
    leases(slurm).reserve("first", Need({VCPU: 2}, 2), "slurm", soon(), soon(70))
    with pytest.raises(RefusedError, match="karratha: others have the nodes then") as caught:
        leases(slurm).reserve("second", ONE, "slurm", soon(20), soon(30))
    assert caught.value.limit == "capacity"


@dataclass(frozen=True)
class AsNobody:
    """This machine, as somebody who may do nothing."""

    def argv(self, command: Sequence[str]) -> list[str]:
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]


def test_who_is_no_operator_is_told_what_it_takes(slurm: Cluster) -> None:
    site = replace(SITE, host=AsNobody())
    with pytest.raises(RefusedError, match="they take an operator's rights") as caught:
        leases(slurm, site).reserve("abc", ONE, "slurm", soon(), soon(70))
    assert caught.value.limit == "rights"


def test_a_user_whom_nobody_knows_is_told(slurm: Cluster) -> None:
    with pytest.raises(RefusedError, match="or Slurm doesn't know the user") as caught:
        leases(slurm, users="no-such-user").reserve("abc", ONE, "slurm", soon(), soon(70))
    assert caught.value.limit == "rights"


def test_a_controller_that_is_away_says_nothing(slurm: Cluster) -> None:
    made = leases(slurm).reserve("abc", ONE, "slurm", soon(), soon(70))
    with slurm.without("slurmctld"):
        away = leases(slurm, seconds=1)
        for ask in (away.list, lambda: away.cancel(made.id), lambda: away.get(made.id)):
            with pytest.raises(OutsideError) as caught:
                ask()
            assert "\n" not in str(caught.value)
    assert leases(slurm).get(made.id) == made

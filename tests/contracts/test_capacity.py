"""What every capacity source owes (`reservations.sources.CapacitySource`).

A source is put to it by a name and a function in SOURCES that gives its site, its table and a clock. Those
that ask a real cloud are put to it where there is one, by the same `check`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import Clock, ManualClock
from federation.errors import InputError
from federation.sites import Place, Platform, Site, Space
from reservations.sources import CapacitySource, load_source
from tests.contracts.capacity_support import check
from tests.reservations.slurm_support import RECORDED_AT, recorded_site

DAY = timedelta(days=1)
NOW = datetime(2026, 12, 1, 7, 30, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """A site, its table [[sites.ID.space]], and the time there."""

    site: Site
    space: Space
    clock: Clock


def _platform() -> World:
    bookings = [{"start": NOW, "end": NOW + DAY, "cores": 2}]
    platform = Platform("simulated", 8, 32, 100, options={"bookings": bookings})
    return World(Site("perth", "Perth", Place(0, 0), platform=platform), Space("static"), ManualClock(NOW))


def _hosts() -> World:
    options = {
        "hosts": [{"name": "gpu", "count": 3, "cores": 64, "memory": "512 GiB", "gpus": 4}],
        "bookings": [{"start": NOW - DAY, "host": "gpu-2"}, {"start": NOW + DAY, "end": NOW + 2 * DAY}],
    }
    return World(Site("perth", "Perth", Place(0, 0)), Space("static", options), ManualClock(NOW))


def _slurm() -> World:
    return World(recorded_site(), Space("slurm"), ManualClock(RECORDED_AT))


SOURCES: dict[str, Callable[[], World]] = {"platform": _platform, "hosts": _hosts, "slurm": _slurm}


@pytest.fixture(params=sorted(SOURCES))
def world(request: pytest.FixtureRequest) -> World:
    return SOURCES[request.param]()


def made(world: World) -> CapacitySource:
    return load_source(world.site, world.space, world.clock)


def test_a_source_keeps_the_contract(world: World) -> None:
    check(made(world), world.site, world.clock)


def test_an_unknown_option_is_one_line_with_the_known_ones(world: World) -> None:
    options = {**world.space.options, "hots": 1}
    with pytest.raises(InputError, match=r"space\W.*: unknown hots: expected ") as caught:
        load_source(world.site, Space(world.space.source, options), world.clock)
    assert "\n" not in str(caught.value)

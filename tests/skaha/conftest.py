from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.platforms.skaha_view import ASKING_BESIDE
from federation.clock import Clock, ManualClock
from tests.skaha.platform_support import Site
from tests.skaha.serving import Served, skaha
from tests.skaha.simulator import Simulator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with skaha(tmp_path_factory.mktemp("skaha")) as served:
        yield served


@pytest.fixture
def clock() -> Clock:
    """Skaha's, and that of a platform in this process: it stands while nobody turns it."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def served(server: Served, tmp_path: Path, clock: Clock) -> Iterator[Served]:
    """A Skaha of the test's own, behind a server that all share."""
    (tmp_path / "skaha").mkdir()
    simulator = Simulator(tmp_path / "skaha", clock)
    server.app.begin_anew(simulator)
    yield server
    # what a platform still asks beside would be taken for the next test's
    for thread in threading.enumerate():
        if thread.name == ASKING_BESIDE:
            thread.join(60)
    simulator.close()


@pytest.fixture
def site(served: Served, tmp_path: Path) -> Site:
    """A site whose Skaha nothing can be brought to; see `Site.with_staging`."""
    return Site(served, tmp_path)

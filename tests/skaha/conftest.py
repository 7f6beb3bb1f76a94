from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.skaha.platform_support import Site
from tests.skaha.serving import Served, skaha
from tests.skaha.simulator import Simulator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with skaha(tmp_path_factory.mktemp("skaha")) as served:
        yield served


@pytest.fixture
def served(server: Served, tmp_path: Path) -> Iterator[Served]:
    """A Skaha of the test's own, behind a server that all share."""
    (tmp_path / "skaha").mkdir()
    simulator = Simulator(tmp_path / "skaha")
    server.app.begin_anew(simulator)
    yield server
    simulator.close()


@pytest.fixture
def site(served: Served, tmp_path: Path) -> Site:
    """A site whose Skaha nothing can be brought to; see `Site.with_staging`."""
    return Site(served, tmp_path)

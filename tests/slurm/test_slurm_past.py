"""A real Slurm, asked what it remembers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import SystemClock
from federation.errors import OutsideError
from federation.sites import Place, Site, Space
from reservations.sources import Remembering, load_source
from tests.slurm.cluster import Cluster
from tests.slurm.rest import Restd

SITE = Site("karratha", "Karratha", Place(-20.7, 116.8))


@pytest.mark.parametrize("by_rest", [False, True])
def test_a_slurm_without_a_database_of_accounts_says_that_it_remembers_nothing(
    slurm: Cluster, rest: Restd, by_rest: bool
) -> None:
    options = {"conf": str(slurm.configuration), **(rest.options() if by_rest else {})}
    source = load_source(SITE, Space("slurm", options), SystemClock())
    assert isinstance(source, Remembering)
    now = datetime.now(UTC)
    with pytest.raises(OutsideError, match="keeps no accounting"):
        source.past(now - timedelta(days=1), now)

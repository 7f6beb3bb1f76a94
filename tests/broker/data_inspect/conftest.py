from dataclasses import replace

import pytest

from broker.inspect import footprint, looking
from federation.catalogue import builtin_federation

PATIENCE_SECONDS = 240


@pytest.fixture(autouse=True, scope="module")
def patient():
    """However long it takes on a busy machine to start, astropy above all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking, "TIME_LIMIT_SECONDS", PATIENCE_SECONDS)
        patch.setattr(footprint, "TIME_LIMIT_SECONDS", PATIENCE_SECONDS)
        yield


@pytest.fixture
def federation_of_loopback():
    def federation(served):
        known = builtin_federation()
        first = replace(next(iter(known)), data_hosts=(served.url.split("/")[2],))
        return replace(known, sites={first.id: first})

    return federation

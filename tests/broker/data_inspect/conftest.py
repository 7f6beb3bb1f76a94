from dataclasses import replace

import pytest

from federation.catalogue import builtin_federation


@pytest.fixture
def federation_of_loopback():
    def federation(served):
        known = builtin_federation()
        first = replace(next(iter(known)), data_hosts=(served.url.split("/")[2],))
        return replace(known, sites={first.id: first})

    return federation

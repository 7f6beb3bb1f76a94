"""However long a service takes on a busy machine: what isn't about a limit doesn't meet one."""

import pytest

from broker.catalogues import http, ivoa, ivoa_binary, rucio, rucio_http, s3
from tests.waiting import SECONDS


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (http, ivoa, rucio, s3):
        monkeypatch.setattr(module, "RESOLVE_SECONDS", SECONDS)
    monkeypatch.setattr(rucio_http, "CONNECT_SECONDS", SECONDS)
    monkeypatch.setattr(ivoa_binary, "TIME_LIMIT_SECONDS", SECONDS)

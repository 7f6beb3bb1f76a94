"""How long a token of Rucio's is used, whatever zone this machine lives in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from broker.catalogues.rucio_options import Auth, Server
from broker.catalogues.rucio_tokens import Tokens
from federation.clock import ManualClock
from tests.loopback import Asked, Said, serving

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(params=["Etc/GMT+10", "Etc/GMT-10"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """This process, far in the west or in the east of where Rucio is."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize("said", ["UTC", "GMT", "+0000", "-0000", ""])
def test_an_end_is_read_in_utc(zone: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    given: list[str] = []

    def answer(asked: Asked) -> Said:
        given.append(f"token-{len(given)}")
        ends = f"Thu, 26 Nov 2026 14:00:00 {said}".strip()
        return Said(headers={"X-Rucio-Auth-Token": given[-1], "X-Rucio-Auth-Token-Expires": ends})

    clock = ManualClock(NOON)
    with serving(answer) as door, httpx.Client(trust_env=False) as http:
        server = Server(door.origin, door.origin, "root", Auth.USERPASS, None, "ada", tmp_path / "password")
        tokens = Tokens(server, http, clock)

        def get() -> str:
            return tokens.get(time.monotonic() + 60)

        assert get() == "token-0"
        # an hour is left
        clock.advance(3600)
        assert get() == "token-0"
        # and then none
        clock.advance(3600)
        assert get() == "token-1"
    assert given == ["token-0", "token-1"]

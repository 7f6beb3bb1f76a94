"""Many sessions at one cloud: it is asked for all of them at once; and how much each may say."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.platforms import State, Unreachable, openstack_agent, openstack_lines
from broker.platforms.openstack_agent import Agent
from broker.platforms.openstack_nova import SESSION, TAG, Nova
from broker.platforms.openstack_nova import WORD as OWN
from broker.platforms.openstack_options import DEFAULTS
from broker.platforms.openstack_records import Records
from broker.platforms.openstack_servers import Servers
from broker.platforms.podman_run import container_name
from federation.clock import ManualClock
from federation.errors import OutsideError
from reservations.openstack.connection import Cloud
from tests.cloud.stand_in import StandIn

JOBS = [f"6f1c7a52-0000-4000-8000-{number:012}" for number in range(25)]


def followed(directory: Path, page: int = 1000) -> tuple[StandIn, Servers, ManualClock]:
    """A broker that follows all of JOBS, and has looked at each once."""
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    cloud = StandIn(clock, page=page)
    nova = Nova("here", cast(Cloud, cloud))
    servers = Servers("here", nova, Records("here", directory), clock, DEFAULTS, clock.advance)
    for number, job in enumerate(JOBS):

        def body(word: str, job: str = job) -> dict[str, Any]:
            metadata = {SESSION: job, OWN: word}
            return {"server": {"name": container_name(job), "metadata": metadata, "tags": [TAG]}}

        servers.start(job, f"{number:016x}", body)
        servers.poll(job)
    return cloud, servers, clock


def look(cloud: StandIn, servers: Servers, clock: ManualClock) -> list[str]:
    """What the cloud is asked in a round, but for consoles."""
    clock.advance(DEFAULTS["poll_seconds"])
    cloud.asked.clear()
    for job in JOBS:
        servers.poll(job)
    return [each for each in cloud.asked if "Console" not in each]


def test_nova_is_asked_once_for_all_sessions(tmp_path: Path) -> None:
    cloud, servers, clock = followed(tmp_path)
    assert look(cloud, servers, clock) == ["GET detail"]
    # one that was removed from outside isn't listed: it is asked for by itself
    server_id = Records("here", tmp_path).find(JOBS[3])
    assert server_id is not None
    del cloud.servers[str(server_id.server_id)]
    assert look(cloud, servers, clock) == ["GET detail", f"GET {server_id.server_id}"]
    assert servers.poll(JOBS[3]).state is State.ABSENT


def test_a_cloud_that_is_away_is_asked_once_for_all_sessions(tmp_path: Path) -> None:
    cloud, servers, clock = followed(tmp_path)
    clock.advance(DEFAULTS["poll_seconds"])
    cloud.asked.clear()

    def away(request: str) -> None:
        clock.advance(DEFAULTS["request_seconds"])
        raise OutsideError("Nova of cloud 'stand-in' doesn't answer within 20 s")

    cloud.before = away
    for job in JOBS:
        with pytest.raises(Unreachable, match="doesn't answer within 20 s"):
            servers.poll(job)
    assert cloud.asked == ["GET detail"]
    cloud.before = lambda request: None
    assert look(cloud, servers, clock) == ["GET detail"]


def test_a_long_list_comes_in_pages(tmp_path: Path) -> None:
    cloud, servers, clock = followed(tmp_path, page=10)
    assert look(cloud, servers, clock) == ["GET detail"] * 3


def test_one_that_failed_is_seen_in_the_list(tmp_path: Path) -> None:
    cloud, servers, clock = followed(tmp_path)
    cloud.servers["server-1"] |= {"status": "ERROR", "fault": {"message": "No valid host was found. "}}
    assert look(cloud, servers, clock) == ["GET detail"]
    assert servers.poll(JOBS[0]).state is State.EXITED


@given(st.integers(0, 70_000), st.integers(0, 70_000), st.booleans())
def test_an_end_says_as_much_as_the_console_has_room_for(out: int, err: int, noise: bool) -> None:
    letters = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyzäöü0123456789", k=1000))
    shuffled = random.Random(2)

    def output(count: int) -> str:
        text = letters * (count // 1000 + 1)
        text = "".join(shuffled.sample(text, len(text))) if noise else text
        return text[-min(count, openstack_agent.END_BYTES // 2) :]

    agent = Agent({"word": "ab12", "root": "/nowhere", "engine": ["podman"]}, "")
    outputs = {"stdout": output(out), "stderr": output(err)}
    end: dict[str, Any] = {"step": "end", "exit_code": 0, **outputs}
    told = agent.fitting(end)
    lines = openstack_lines.written("ab12", 1, told)
    assert sum(len(line) + 1 for line in lines) <= openstack_agent.CONSOLE_BYTES
    assert openstack_lines.read("ab12", "\n".join(lines)) == (1, told)
    for name in ("stdout", "stderr"):
        assert end[name].endswith(told[name])
    if not noise:
        assert told == end

"""How servers of sessions end, and what of their words is believed. At a stand-in of Nova's API."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any

import pytest

from broker.platforms import State
from broker.platforms.openstack_options import DEFAULTS
from tests.cloud.servers_world import JOB, WORD, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("speaks", [False, True])
def test_a_server_that_says_nothing_is_given_up(world: World, speaks: bool) -> None:
    servers, server_id = world.started()
    if speaks:
        world.say(server_id, 4, step="run", stdout="half\n", stderr="")
    limit = DEFAULTS["silence_seconds" if speaks else "boot_seconds"]
    assert servers.poll(JOB).state is State.RUNNING
    world.clock.advance(limit)
    # a cloud that can't be asked is no silence of the server
    assert servers.poll(JOB).state is State.RUNNING
    world.clock.advance(1)
    status = servers.poll(JOB)
    assert status.state is State.EXITED
    assert (status.problem or "").startswith(
        "its server has said nothing for 5 min"
        if speaks
        else "its server said nothing for 15 min: expected an image"
    )
    assert status.stdout == ("half\n" if speaks else "")


def test_stopped_a_container_has_its_time_to_end(world: World) -> None:
    servers, server_id = world.started()
    world.say(server_id, 1, step="run", stdout="", stderr="")

    def end(server_id: str) -> None:
        world.say(server_id, 2, step="end", exit_code=7, stdout="saved\n", stderr="")

    world.cloud.on_halt = end
    servers.stop(JOB)
    status = servers.poll(JOB)
    assert (status.state, status.exit_code, status.stdout, status.problem) == (
        State.EXITED,
        7,
        "saved\n",
        None,
    )
    assert not world.cloud.there()
    servers.stop(JOB)
    assert servers.poll(JOB) == status


def test_stopped_a_server_that_does_not_halt_is_removed(world: World) -> None:
    servers, server_id = world.started()
    world.say(server_id, 1, step="run", stdout="half\n", stderr="")
    began = world.clock.now()
    servers.stop(JOB)
    waited = (world.clock.now() - began).total_seconds()
    assert waited == pytest.approx(DEFAULTS["stop_seconds"], abs=2)
    status = servers.poll(JOB)
    assert (status.exit_code, status.stdout) == (143, "half\n")
    assert not world.cloud.there()


def test_stopped_before_it_ran_it_says_what_it_waited_for(world: World) -> None:
    world.cloud.created_as = "BUILD"
    servers, _ = world.started()
    servers.stop(JOB)
    status = servers.poll(JOB)
    assert (status.exit_code, status.problem) == (None, "it never ran: its server is being made")
    assert not world.cloud.there()


@pytest.mark.parametrize("number", ["9" * 5000, "7"])
@pytest.mark.parametrize("count", ["9" * 5000, "999999999", "1"])
def test_no_line_on_the_console_keeps_the_broker_busy(world: World, number: str, count: str) -> None:
    servers, server_id = world.started()
    deep = base64.b64encode(zlib.compress(b"[" * 500_000)).decode()
    text = f"{WORD} {number} 1/{count} {deep}"
    line = f"fairlead {text} {hashlib.sha256(text.encode()).hexdigest()[:8]}"
    world.cloud.consoles[server_id] = f"{line}\r\n"
    status = servers.poll(JOB)
    assert (status.state, status.waiting is None) == (State.RUNNING, False)
    world.say(server_id, 8, step="run", stdout="begun\n", stderr="")
    assert servers.poll(JOB).stdout == "begun\n"


def test_what_a_server_makes_up_is_bounded(world: World) -> None:
    servers, server_id = world.started()
    nonsense: dict[str, Any] = {"stdout": 5, "stderr": ["x"], "exit_code": "0", "problem": "a\nb " * 10_000}
    world.say(server_id, 1, step="end", **nonsense)
    status = servers.poll(JOB)
    assert (status.exit_code, status.stdout, status.stderr) == (None, "", "")
    assert len(status.problem or "") == 1000
    assert "\n" not in (status.problem or "")

"""Servers of sessions when something goes wrong: a broker that is killed at any moment, a cloud that says no,
or nothing, or loses what it had. At a stand-in of Nova's API, for a real one can't be made to do so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.platforms import PlatformError, State, Unreachable
from broker.platforms.podman_run import container_name
from federation.errors import InputError, OutsideError
from reservations.openstack.connection import Answer
from tests.cloud.servers_world import JOB, WORD, World, body
from tests.cloud.stand_in import KilledError

# as a broker asks again
TRIES = 100


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def patiently(world: World, do: Callable[[], None]) -> None:
    for _ in range(TRIES):
        try:
            return do()
        except Unreachable:
            world.clock.advance(5)
    raise AssertionError("never")


def life(world: World) -> None:
    """What a broker does for a session: each step is done by one that knows only what was written down."""
    patiently(world, lambda: world.start())
    for server_id in world.cloud.there():
        world.say(server_id, 1, step="run", stdout="begun\n", stderr="")
    assert world.servers().poll(JOB).stdout == "begun\n"
    patiently(world, lambda: world.servers().stop(JOB))
    assert world.servers().poll(JOB).state is State.EXITED


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_broker_that_is_killed_at_any_request_makes_no_second_server_and_leaves_none(
    tmp_path: Path, when: str
) -> None:
    (tmp_path / "whole").mkdir()
    whole = World(tmp_path / "whole")
    life(whole)
    patiently(whole, lambda: whole.servers().release(JOB))
    assert len(whole.cloud.asked) > 10
    for number in range(len(whole.cloud.asked)):
        directory = tmp_path / str(number)
        directory.mkdir()
        world = World(directory)

        def kill(request: str, world: World = world, number: int = number) -> None:
            if len(world.cloud.asked) == number + 1:
                raise KilledError

        setattr(world.cloud, when, kill)
        try:
            life(world)
        except KilledError:
            # the next broker finds the session where the last one left it
            record = world.records().find(JOB)
            if record is None or not (record.stopping or record.ended):
                life(world)
        for _ in range(2):
            try:
                patiently(world, lambda world=world: world.servers().release(JOB))  # type: ignore[misc]
                break
            except KilledError:
                continue
        assert (world.cloud.most, world.cloud.there()) == (1, []), world.cloud.asked
        assert not list(directory.iterdir())


def test_an_answer_that_is_lost_makes_no_second_server(world: World) -> None:
    def lose(request: str) -> None:
        if request == "POST servers":
            raise OutsideError("Nova of cloud 'stand-in' doesn't answer within 20 s")

    world.cloud.after = lose
    with pytest.raises(Unreachable, match="doesn't answer within 20 s"):
        world.start()
    world.cloud.after = lambda request: None
    world.start()
    assert len(world.cloud.there()) == 1
    assert world.cloud.asked.count("POST servers") == 1


def test_a_request_that_nobody_knows_of_is_waited_for_before_it_is_repeated(world: World) -> None:
    def lose(request: str) -> None:
        if request == "POST servers":
            raise OutsideError("gone")

    world.cloud.before = lose
    with pytest.raises(Unreachable, match="gone"):
        world.start()
    world.cloud.before = lambda request: None
    with pytest.raises(Unreachable, match="nobody knows yet whether it was made"):
        world.start()
    with pytest.raises(Unreachable, match="nobody knows yet whether it was made"):
        world.servers().release(JOB)
    # it comes late, and is taken
    world.cloud.create(body(WORD)["server"])
    world.start()
    assert len(world.cloud.there()) == 1
    world.servers().release(JOB)
    assert not world.cloud.servers


def test_of_two_servers_the_older_stays(world: World) -> None:
    servers, first = world.started()
    world.clock.advance(5)
    world.cloud.create(body(WORD)["server"])
    world.cloud.create({"name": container_name(JOB), "metadata": {}})  # somebody else's, with our name
    world.start(servers)
    assert world.cloud.there() == [first, "server-3"]
    servers.release(JOB)
    assert world.cloud.there() == ["server-3"]


QUOTA = "Quota exceeded for cores: Requested 4, but already used 8 of 10 cores"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Answer(403, {"forbidden": {"code": 403, "message": QUOTA}}),
            "your project's quota of cores stands in the way: 4 more asked for, 8 of 10 in use",
        ),
        (
            Answer(
                403,
                {
                    "forbidden": {
                        "message": "Policy doesn't allow os_compute_api:servers:create to be performed."
                    }
                },
            ),
            "the cloud's policy doesn't allow that to you",
        ),
        (
            Answer(400, {"badRequest": {"code": 400, "message": "Can not find requested image"}}),
            "the cloud refuses it: Can not find requested image",
        ),
    ],
)
def test_a_refusal_is_told_in_words_and_leaves_nothing_to_wait_for(
    world: World, answer: Answer, said: str
) -> None:
    world.cloud.answers = [Answer(200, {"servers": []}), answer]
    with pytest.raises(PlatformError) as refused:
        world.start()
    assert not isinstance(refused.value, Unreachable)
    assert str(refused.value).startswith(f"site here: {said}")
    assert world.servers().poll(JOB).state is State.ABSENT
    world.servers().release(JOB)
    assert not list(world.directory.iterdir())


def refuses(request: str) -> None:
    raise InputError("site here: Nova of cloud 'stand-in' doesn't accept these credentials: expired")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}}),
        Answer(429, {"overLimit": {"message": "Too many requests"}}),
        Answer(200, {"server": {"id": "server-1"}}),
        Answer(200, "<html>Sign in</html>"),
        Answer(200, None),
    ],
)
def test_a_cloud_that_answers_nonsense_says_nothing_of_a_session(world: World, answer: Answer) -> None:
    servers, server_id = world.started()
    world.cloud.answers = [answer]
    with pytest.raises(Unreachable, match=r"site here: .*Nova of cloud 'stand-in'"):
        servers.poll(JOB)
    world.say(server_id, 1, step="end", exit_code=0, stdout="", stderr="")
    assert servers.poll(JOB).exit_code == 0


def test_credentials_that_expire_are_waited_for(world: World) -> None:
    servers, server_id = world.started()
    world.cloud.before = refuses
    for ask in (servers.poll, servers.stop, servers.release):
        with pytest.raises(Unreachable, match="doesn't accept these credentials"):
            ask(JOB)
    world.cloud.before = lambda request: None
    assert servers.poll(JOB).state is State.RUNNING
    assert world.cloud.there() == [server_id]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "No valid host was found. There are not enough hosts available.",
            "there were hosts with enough left, but none of them takes servers like this one",
        ),
        ("No valid host was found. ", "no host had enough left for it"),
        ("Build of instance aborted: Failed to allocate the network(s)", "the cloud says: Build of instance"),
    ],
)
def test_a_server_in_error_says_why(world: World, fault: str, said: str) -> None:
    servers, server_id = world.started()
    world.cloud.servers[server_id] |= {"status": "ERROR", "fault": {"message": fault}}
    status = servers.poll(JOB)
    assert status.state is State.EXITED
    assert (status.problem or "").startswith(f"its server can't be had: {said}")
    # told once, and as long as it is asked for
    assert world.servers().poll(JOB) == status
    servers.release(JOB)
    assert not world.cloud.there()


def test_a_server_that_somebody_else_removed_is_absent_and_made_anew(world: World) -> None:
    servers, server_id = world.started()
    del world.cloud.servers[server_id]
    assert servers.poll(JOB).state is State.ABSENT
    world.start(servers)
    assert world.cloud.there() == ["server-2"]


def test_what_was_written_down_elsewhere_is_told_by_the_server(world: World, tmp_path: Path) -> None:
    _, server_id = world.started()
    elsewhere = World(tmp_path / "elsewhere", world.clock)
    elsewhere.cloud = world.cloud
    servers = elsewhere.servers()
    servers.start(JOB, "cd34", body)
    assert world.cloud.there() == [server_id]
    world.say(server_id, 1, step="run", stdout="begun\n", stderr="")
    assert elsewhere.servers().poll(JOB).stdout == "begun\n"
    again = World(tmp_path / "again", world.clock)
    again.cloud = world.cloud
    assert again.servers().poll(JOB).stdout == "begun\n"
    again.servers().stop(JOB)
    assert not world.cloud.there()


def test_a_server_that_was_halted_from_outside_says_so(world: World) -> None:
    servers, server_id = world.started()
    world.say(server_id, 1, step="run", stdout="half\n", stderr="")
    servers.poll(JOB)
    world.cloud.servers[server_id]["status"] = "SHUTOFF"
    status = servers.poll(JOB)
    assert (status.state, status.stdout) == (State.EXITED, "half\n")
    assert status.problem == "its server was halted from outside (SHUTOFF)"


def test_what_a_server_does_before_its_container_runs_is_told(world: World) -> None:
    world.cloud.created_as = "BUILD"
    servers, server_id = world.started()

    def waits() -> str | None:
        waiting = servers.poll(JOB).waiting
        return None if waiting is None else waiting.reason

    assert waits() == "its server is being made"
    world.cloud.servers[server_id]["status"] = "ACTIVE"
    assert waits() == "its server is booting"
    world.say(server_id, 1, step="data", bytes=500_000_000, size_bytes=2_000_000_000)
    assert waits() == "its server fetches the data: 500 MB of 2 GB"
    world.say(server_id, 2, step="image")
    assert waits() == "its server fetches the image"
    world.say(server_id, 3, step="run", stdout="", stderr="")
    assert waits() is None


def test_sessions_do_not_wait_for_each_other(world: World) -> None:
    servers, _ = world.started()
    reached, go_on = threading.Event(), threading.Event()

    def hold(request: str) -> None:
        if request.startswith("DELETE"):
            reached.set()
            assert go_on.wait(60)

    world.cloud.before = hold
    thread = threading.Thread(target=servers.release, args=(JOB,))
    thread.start()
    assert reached.wait(60)
    # so many that one of them would share whatever is shared
    states = [servers.poll(f"other-{number}").state for number in range(200)]
    go_on.set()
    thread.join()
    assert states == [State.ABSENT] * 200
    assert not world.cloud.there()

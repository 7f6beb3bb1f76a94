"""The simulated Skaha held against CANFAR's own client: what that understands, what it makes of refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.skaha.canfar_environment import Canfar, canfar
from tests.skaha.serving import Served

TERMINAL = "images.canfar.net/skaha/terminal:1.1.2"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canfar]:
    with canfar(tmp_path_factory.mktemp("canfar")) as client:
        yield client


class Client:
    def __init__(self, process: Canfar, served: Served, **options: Any) -> None:
        self._process, self._options = process, {"url": served.url, "token": "tok123", **options}

    def __call__(self, name: str, method: str, /, **arguments: Any) -> Any:
        return self._process.call(name, method, dict(self._options), **arguments)

    def session(self, method: str, **arguments: Any) -> Any:
        return self("Session", method, **arguments)

    def create(self, **more: Any) -> list[str]:
        asked = {"name": "a-test", "image": TERMINAL, "kind": "headless"} | more
        found: list[str] = self.session("create", **asked)
        return found

    def until(self, session_id: str, *statuses: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while (found := self.session("info", ids=session_id))[0]["status"] not in statuses:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        document: dict[str, Any] = found[0]
        return document


@pytest.fixture
def client(process: Canfar, served: Served) -> Client:
    return Client(process, served)


def test_what_there_is(client: Client) -> None:
    assert client("Images", "fetch", kind="contributed") == ["images.canfar.net/skaha/vscode:1.0"]
    details = {image["id"]: image for image in client("Images", "details")}
    assert set(details[TERMINAL]["types"]) == {"headless", "desktop-app"}
    assert details[TERMINAL]["digest"].startswith("sha256:")
    context = client("Context", "resources")
    assert context["cores"]["options"] == list(range(1, 17))
    assert context["maxInteractiveSessions"] == 3
    assert client("Overview", "availability") is True


def test_a_session_s_life(client: Client, served: Served) -> None:
    free = client.session("stats")["cores"]
    [session] = client.create(cores=2, ram=8, cmd="env", args=None, env={"COLOUR": "red"}, name="My-Job")
    found = client.until(session, "Completed")
    assert (found["name"], found["type"], found["image"]) == ("my-job", "headless", TERMINAL)
    assert (found["requestedCPUCores"], found["requestedRAM"], found["isFixedResources"]) == ("2", "8G", True)
    said = client.session("logs", ids=session)[session].splitlines()
    assert {"COLOUR=red", "REPLICA_ID=1", "REPLICA_COUNT=1", f"skaha_sessionid={session}"} <= set(said)
    [events] = client.session("events", ids=session)
    assert events[session].split()[:3] == ["TYPE", "REASON", "MESSAGE"]
    assert [each["id"] for each in client.session("fetch", kind="headless", status="Completed")] == [session]
    assert client.session("stats")["cores"] == free  # what has ended takes nothing
    served.simulator.advance(3601)
    assert client.session("fetch") == []
    assert client.session("info", ids=session) == []


def test_stats_count_what_runs_and_tell_the_whole_as_available(client: Client, served: Served) -> None:
    before = client.session("stats")
    client.create(cores=4, ram=16, cmd="sleep", args="600")
    after = client.session("stats")
    assert after["cores"]["requestedCPUCores"] == before["cores"]["requestedCPUCores"] + 4
    assert after["cores"]["cpuCoresAvailable"] == before["cores"]["cpuCoresAvailable"] == 960
    assert after["ram"]["requestedRAM"] == "1524G"
    served.simulator.metrics_up = False
    with pytest.raises(RuntimeError, match="HTTPStatusError"):
        client.session("stats")
    assert len(client.session("fetch")) == 1  # all else works


def test_destroying_is_terminating_and_then_nothing(client: Client, served: Served) -> None:
    [session] = client.create(cmd="sleep", args="600")
    assert client.until(session, "Running")["isFixedResources"] is False  # no size asked for: flexible
    assert client.session("destroy", ids=session) == {session: True}
    served.simulator.advance(5)
    assert client.session("info", ids=session) == []
    assert client.session("logs", ids=session) == {session: ""}


@pytest.mark.parametrize(("version", "said"), [(404, False), (200, True)])
def test_destroying_what_isn_t_there(client: Client, served: Served, version: int, said: bool) -> None:
    served.simulator.delete_unknown = version
    assert client.session("destroy", ids="nothere1") == {"nothere1": said}


def test_values_with_an_equals_sign_are_dropped_without_a_word(client: Client) -> None:
    environment = {"FINE": "1", "TWO": "a=b", "EMPTY": "", "PADDED": "YQ=="}
    [session] = client.create(cmd="env", env=environment)
    client.until(session, "Completed")
    said = client.session("logs", ids=session)[session].splitlines()
    assert "FINE=1" in said
    assert not [line for line in said if line.startswith(("TWO=", "EMPTY="))]
    assert "PADDED=YQ" in said  # and at its end they are cut


def test_arguments_are_split_at_spaces(client: Client) -> None:
    [session] = client.create(cmd="printf", args="[%s] 'a b'  c")
    client.until(session, "Completed")
    assert client.session("logs", ids=session)[session] == "['a][b'][][c]"


def test_a_failing_one_says_no_exit_code(client: Client) -> None:
    [session] = client.create(cmd="false")
    found = client.until(session, "Failed")
    assert not [name for name in found if "exit" in name.lower()]
    assert "BackoffLimitExceeded" in client.session("events", ids=session)[0][session]


REFUSED: list[dict[str, Any]] = [
    {"image": "ghcr.io/x/y:1"},  # not in a trusted repository
    {"image": "images.canfar.net/skaha/unknown:1"},  # unknown or private, and no credentials
    {"cores": 17, "ram": 8},  # no option of the context
    {"cores": 2, "ram": 3},
    {"name": "under_score"},
    {"cmd": "sh", "args": "$HOME"},  # 500: a group reference
]


@pytest.mark.parametrize("wrong", REFUSED, ids=str)
def test_what_is_refused_is_an_empty_list_to_the_client(
    client: Client, served: Served, wrong: dict[str, Any]
) -> None:
    assert client.create(**wrong) == []
    assert not served.simulator.pods


def test_interactive_sessions_are_few_and_headless_ones_are_not_counted(client: Client) -> None:
    more = {"image": "images.canfar.net/skaha/astroml:26.11", "kind": "notebook"}
    made = [client.create(**more) for _ in range(4)]
    assert [len(each) for each in made] == [1, 1, 1, 0]
    [found] = client.session("info", ids=made[0][0])
    assert found["connectURL"].endswith(f"/lab/tree/arc/home/ann?token={found['id']}")
    assert len(client.create(cmd="true")) == 1
    assert client.session("renew", ids=made[0][0]) == {made[0][0]: True}


def test_private_images_need_the_registry_s_credentials(process: Canfar, served: Served) -> None:
    registry = {"username": "robot", "secret": "hunter2"}
    client = Client(process, served, registry=registry)
    image = "images.canfar.net/private/tool:1"
    [session] = client.create(image=image, cmd="true")
    client.until(session, "Completed")
    wrong = Client(process, served, registry=registry | {"secret": "wrong"})
    [session] = wrong.create(image=image, cmd="true")
    assert client.session("info", ids=session)[0]["status"] == "Pending"
    assert "Failed to pull image" in client.session("events", ids=session)[0][session]


def test_who_may(process: Canfar, served: Served) -> None:
    with pytest.raises(RuntimeError, match="HTTPStatusError"):
        Client(process, served, token="another")("Images", "fetch")
    served.simulator.outsiders.add("ann")
    with pytest.raises(RuntimeError, match="HTTPStatusError"):
        Client(process, served)("Images", "fetch")


def test_a_full_cluster_lets_sessions_wait(client: Client, served: Served) -> None:
    served.simulator.full = True
    [session] = client.create(cmd="true")
    [found] = client.session("info", ids=session)
    assert found["status"] == "Pending"
    assert "startTime" not in found  # what is null is left out
    pod = served.simulator.pods[session]
    pod.run(served.simulator.directory, served.simulator.now())
    client.until(session, "Completed")

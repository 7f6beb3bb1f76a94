"""`fairlead sessions`, `logs`, `fetch` and `cancel`: what they show, what they write, and the exit status."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from fairlead.cli import main
from fairlead.served import Served, start
from tests.loopback import Asked, Said, said_json, serving
from tests.waiting import until

JOB = Path(__file__).resolve().parents[2] / "examples" / "checksum.yaml"
Run = Callable[..., tuple[int, str, str]]
SESSION = str(uuid.uuid4())


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(["--simulated"], tmp_path_factory.mktemp("broker") / "server.log")
    yield served
    served.stop()


@pytest.fixture
def run(broker: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("FAIRLEAD_URL", broker.url)
    monkeypatch.setenv("FAIRLEAD_USER", broker.user)
    monkeypatch.setenv("FAIRLEAD_PASSWORD", broker.password)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(arguments)
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def completed(broker: Served) -> str:
    """The uuid of a session that has run."""
    with broker.client() as client:
        offer = client.request(JOB.read_text())["offers"][0]["meta"]["uuid"]
        client.move(offer, "ACCEPTED")
        until(lambda: client.session(offer)["phase"] == "COMPLETED", "its end", lambda: client.session(offer))
    return str(offer)


def test_sessions_are_listed(run: Run, completed: str) -> None:
    status, out, _ = run("sessions")
    assert status == 0
    assert completed in out
    assert "COMPLETED" in out
    status, out, _ = run("sessions", "--phase", "completed", "--all", "--json")
    assert status == 0
    assert completed in [session["meta"]["uuid"] for session in json.loads(out)]
    # the offers that were not taken are shown to those who ask for them
    status, out, _ = run("sessions", "--phase", "REJECTED", "--limit", "2", "--json")
    assert [session["phase"] for session in json.loads(out)] == ["REJECTED", "REJECTED"]


def test_no_sessions_is_no_failure(run: Run) -> None:
    status, out, err = run("sessions", "--phase", "WAITING")
    assert (status, out) == (0, "")
    assert "no sessions" in err
    assert run("sessions", "--phase", "WAITING", "--json")[:2] == (0, "[]\n")


def test_a_phase_that_is_none(run: Run) -> None:
    status, _, err = run("sessions", "--phase", "FLYING")
    assert status == 2
    assert "PREPARING" in err


def test_logs_are_printed(run: Run, completed: str, broker: Served) -> None:
    for named in (completed, completed.upper(), f"{broker.url}/sessions/{completed}"):
        status, out, err = run("logs", named)
        assert status == 0
        assert out.startswith("simulated:")
        assert err == ""
    status, out, _ = run("logs", completed, "--json")
    assert (status, json.loads(out)["exit_code"]) == (0, 0)


def test_logs_of_what_has_not_started(run: Run, broker: Served) -> None:
    with broker.client() as client:
        offer = client.request(JOB.read_text())["offers"][0]["meta"]["uuid"]
    status, out, err = run("logs", offer)
    assert (status, out) == (1, "")
    assert "OFFERED" in err


def test_cancel(run: Run, broker: Served, completed: str) -> None:
    # not to be over before it is cancelled
    later = f"{datetime.now(UTC) + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}/PT1H"
    document = yaml.safe_load(JOB.read_text())
    document["schedule"]["requested"]["start"] = later
    with broker.client() as client:
        offer = client.request(yaml.safe_dump(document))["offers"][0]["meta"]["uuid"]
        client.move(offer, "ACCEPTED")
    status, _, err = run("cancel", offer)
    assert status == 0
    assert "CANCELLED" in err
    status, out, _ = run("cancel", offer, "--json")
    assert (status, json.loads(out)["phase"]) == (0, "CANCELLED")
    status, _, err = run("cancel", completed)
    assert status == 1
    assert "COMPLETED" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["logs", "fetch", "cancel"])
def test_sessions_that_are_none(run: Run, command: str) -> None:
    for named in ("nonsense", "", "http://[::1"):
        status, _, err = run(command, named)
        assert status == 2
        assert "uuid" in err or "URL" in err
    status, _, err = run(command, SESSION)
    assert status == 2
    assert "no session" in err


def test_nothing_to_fetch(run: Run, completed: str, tmp_path: Path) -> None:
    status, out, err = run("fetch", completed, "--out", str(tmp_path / "out"))
    assert (status, out) == (1, "")
    assert "nothing to fetch" in err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A broker that has a session with these files, by "STORAGE/PATH". What is empty there breaks off."""
    content: dict[str, bytes] = {}

    def answer(asked: Asked) -> Said:
        at = f"/sessions/{SESSION}/storage"
        if asked.path == at:
            return said_json(storage_document(content))
        if body := content.get(asked.path.removeprefix(at + "/")):
            return Said(200, body)
        return Said(200, b"half", {"Content-Length": "100"})

    with serving(answer) as server:
        monkeypatch.setenv("FAIRLEAD_URL", server.origin)
        yield content


def storage_document(content: Mapping[str, bytes]) -> dict[str, object]:
    storages: dict[str, list[dict[str, object]]] = {}
    for name, body in content.items():
        storage, _, path = name.partition("/")
        storages.setdefault(storage, []).append({"path": path, "size": len(body)})
    return {"storage": [{"name": name, "files": files} for name, files in storages.items()]}


def written(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def call(run: Run, files: dict[str, bytes]) -> Run:
    """As `run`, but talking to the broker with the files."""
    return run


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], ["results/a b.txt", "results/maps/x%2Fy.fits", "results/maps/z", "other/a"]),
        (["results"], ["results/a b.txt", "results/maps/x%2Fy.fits", "results/maps/z"]),
        (["results", "maps"], ["results/maps/x%2Fy.fits", "results/maps/z"]),
        (["results", "maps/z"], ["results/maps/z"]),
    ],
)
def test_results_are_fetched(
    call: Run, files: dict[str, bytes], tmp_path: Path, wanted: list[str], expected: list[str]
) -> None:
    names = ["results/a b.txt", "results/maps/x%2Fy.fits", "results/maps/z", "other/a"]
    files |= {name: name.encode() * 1000 for name in names}
    for _ in range(2):  # what is there already is replaced
        status, out, _ = call("fetch", SESSION, *wanted, "--out", str(tmp_path / "out"), "--json")
        assert status == 0
        assert written(tmp_path / "out") == {name: files[name] for name in expected}
        assert [f"{each['storage']}/{each['path']}" for each in json.loads(out)] == expected


def test_a_file_that_breaks_off_is_not_kept(call: Run, files: dict[str, bytes], tmp_path: Path) -> None:
    files |= {"results/a": b"whole", "results/b": b""}
    status, out, err = call("fetch", SESSION, "--out", str(tmp_path))
    assert status == 3
    assert "broke off" in err
    assert written(tmp_path) == {"results/a": b"whole"}
    assert out.splitlines() == [str(tmp_path / "results" / "a")]


@pytest.mark.parametrize("name", ["../x", "results/../../x", "results//etc/x", "/x"])
def test_no_name_leads_out_of_the_directory(
    call: Run, files: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    files[name] = b"evil"
    status, _, err = call("fetch", SESSION, "--out", str(tmp_path / "out"))
    assert status == 3
    assert "can't be written here" in err
    assert written(tmp_path) == {}


def test_what_is_not_there(call: Run, files: dict[str, bytes], tmp_path: Path) -> None:
    files["results/a"] = b"x"
    for wanted, words in ((["result"], "expected one of results"), (["results", "b"], "no file 'b'")):
        status, _, err = call("fetch", SESSION, *wanted, "--out", str(tmp_path))
        assert status == 2
        assert words in err


def test_a_place_that_cannot_be_written(call: Run, files: dict[str, bytes], tmp_path: Path) -> None:
    files["results/a"] = b"x"
    (tmp_path / "out").touch()
    status, _, err = call("fetch", SESSION, "--out", str(tmp_path / "out"))
    assert status == 3
    assert str(tmp_path / "out") in err

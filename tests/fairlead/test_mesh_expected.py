"""`fairlead mesh expected`: the tests of a template, and with --since what the archive has of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.cli import main
from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin

SIMPLE = Path(__file__).parents[1] / "netprobe" / "data" / "psconfig" / "example-1-simple.json"
Fairlead = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def fairlead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Fairlead:
    url = f"sqlite:///{tmp_path / 'fairlead.db'}"
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    engine = connect(url)
    upgrade(engine)
    trace = Measurement(
        kind=Kind.PATH,
        source="host-a.perfsonar.net",
        destination="host-b.perfsonar.net",
        started=datetime.now(UTC) - timedelta(minutes=5),
        seconds=1.0,
        tool="traceroute",
        origin=Origin.PERFSONAR,
        figures={"hops": 7.0},
        parameters={"test": "trace", "ip_version": 6},
    )
    Archive(engine).add([trace])
    engine.dispose()

    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["mesh", "expected", *arguments])
        said = capfd.readouterr()
        return left.value.code, said.out, said.err

    return run


def test_the_tests_are_listed_by_task(fairlead: Fairlead) -> None:
    status, out, err = fairlead(str(SIMPLE))
    assert (status, err) == (0, "")
    assert "example-task-throughput: throughput, TCP, every 4 h, 6 tests" in out
    assert "example-task-latencybg: latencybg, every 1 min, 6 tests" in out
    assert "host-a.perfsonar.net │ host-b.perfsonar.net │ the source" in out


def test_as_json(fairlead: Fairlead) -> None:
    status, out, _ = fairlead(str(SIMPLE), "--json")
    document = json.loads(out)
    assert (status, len(document["tests"]), document["problems"]) == (0, 18, [])
    assert document["tests"][0]["spec"]["dest"] == "host-b.perfsonar.net"
    assert document["tests"][0]["protocol"] == "tcp"


def test_since_shows_what_the_archive_has(fairlead: Fairlead) -> None:
    status, out, _ = fairlead(str(SIMPLE), "--since", "1d")
    assert status == 1
    assert "18 cells: 1 ok, 17 missing, 0 stale, 0 failed" in out
    (line,) = [line for line in out.splitlines() if "ok" in line and "trace" in line]
    # every ten minutes for a day
    assert [word.strip() for word in line.split("│")[4:6]] == ["144", "1"]
    status, out, _ = fairlead(str(SIMPLE), "--since", "1d", "--json")
    states = [cell["state"] for cell in json.loads(out)["cells"]]
    assert (status, states.count("ok"), states.count("missing")) == (1, 1, 17)


def test_problems_go_to_standard_error_and_the_rest_is_listed(fairlead: Fairlead, tmp_path: Path) -> None:
    document = json.loads(SIMPLE.read_text())
    document["tasks"]["example-task-trace"]["group"] = "gone"
    path = tmp_path / "mesh.json"
    path.write_text(json.dumps(document))
    status, out, err = fairlead(str(path), "--json")
    problem = "/tasks/example-task-trace/group: expected a name in /groups, got 'gone'"
    assert err == f"{path}: {problem}\n"
    assert (status, len(json.loads(out)["tests"])) == (0, 12)


@pytest.mark.parametrize(
    ("arguments", "wanted", "message"),
    [
        ((str(SIMPLE), "--since", "soon"), 2, "a duration"),
        ((str(SIMPLE), "--since", "0 s"), 2, "--since"),
        (("/nowhere/mesh.json",), 2, "can't be read"),
        ((str(SIMPLE.with_name("perfsonar-dev-mesh_testbed.json")),), 1, "asks for no test"),
    ],
)
def test_what_can_not_be_shown_is_one_line(
    fairlead: Fairlead, arguments: tuple[str, ...], wanted: int, message: str
) -> None:
    status, out, err = fairlead(*arguments)
    assert (status, out) == (wanted, "")
    assert message in err.splitlines()[-1]

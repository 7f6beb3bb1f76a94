"""`fairlead run` against brokers that are not there, refuse, or are no brokers at all."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fairlead.cli import main
from tests.loopback import Said, serving


@contextmanager
def answering(status: int, body: str, headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server on loopback that gives the same answer to everything; its URL."""
    with serving(lambda asked: Said(status, body.encode(), headers or {})) as server:
        yield server.origin


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text("executable: {}\n")
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["run", *arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


Run = Callable[..., tuple[int, str, str]]


def test_no_broker_there(job: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    status, _, err = run(str(job), "--yes", "--url", f"http://127.0.0.1:{port}")
    assert status == 3
    assert err.startswith(f"fairlead: no broker answers at http://127.0.0.1:{port}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (401, "", 2, "password"),
        (500, '{"detail": "out of luck"}', 3, "out of luck"),
        (400, '{"meta": {"messages": [{"message": "cores: too many"}]}}', 2, "cores: too many"),
        (415, "no such media type", 2, "no such media type"),
        (200, "<html>", 3, "no broker"),
        (200, "[1]", 3, "no broker"),
    ],
)
def test_answers_that_are_no_offers(
    status: int, body: str, expected: int, words: str, job: Path, run: Run
) -> None:
    with answering(status, body) as url:
        left, _, err = run(str(job), "--yes", "--url", url)
    assert left == expected
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_no_tells_why_and_is_status_1(job: Path, run: Run) -> None:
    answer = {
        "result": "NO",
        "meta": {"messages": [{"level": "ERROR", "message": "perth: [8] cores at most"}]},
    }
    with answering(303, json.dumps(answer), {"Location": "/offersets/1"}) as url:
        status, out, err = run(str(job), "--yes", "--url", url)
        assert (status, out) == (1, "")
        assert "ERROR: perth: [8] cores at most" in err
        status, out, _ = run(str(job), "--yes", "--json", "--url", url)
        assert (status, json.loads(out)) == (1, answer)


@pytest.mark.parametrize(
    ("text", "words"),
    [("executable: [\n", ":2"), ("- 1\n", "expected a request"), ("", "expected a request")],
)
def test_a_job_that_is_none(text: str, words: str, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    status, _, err = run(str(path), "--yes")
    assert status == 2
    assert str(path) in err
    assert words in err


def test_a_job_that_is_not_there(tmp_path: Path, run: Run) -> None:
    status, _, err = run(str(tmp_path / "none.yaml"), "--yes")
    assert status == 2
    assert "No such file" in err


def test_a_choice_that_is_none(job: Path, run: Run) -> None:
    assert run(str(job), "--accept", "worst")[0] == 2
    # nobody to ask, and nothing said: found before the broker is troubled
    status, _, err = run(str(job), "--json")
    assert status == 2
    assert "--accept" in err


def test_a_url_that_is_none(job: Path, run: Run) -> None:
    status, _, err = run(str(job), "--yes", "--url", "nonsense")
    assert status == 2
    assert "nonsense" in err

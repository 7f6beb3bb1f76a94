"""`fairlead credits`: granting, looking, and the service as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import build
from federation.errors import InputError
from tests.reservations.enforcement_support import PROJECT, create, end

Run = Callable[..., Result]
FUTURE = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'credits.db'}"


@pytest.fixture
def run(database: str) -> Run:
    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(build("credits"), ["credits", *arguments, "--database", database])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def test_what_was_granted_is_shown(run: Run) -> None:
    assert "nobody has credits" in run("show").stderr
    run("grant", PROJECT, "10000", "--name", "2026Q4", "--until", "2027-01-01", "--price", "PGPU=20")
    (purse,) = json.loads(run("show", "--json").stdout)["purses"]
    assert (purse["project"], purse["name"], purse["left"], purse["per_hour"]) == (
        PROJECT, "2026Q4", 10_000, {"PGPU": 20},
    )  # fmt: skip
    assert purse["end"].startswith("2027-01-01T00:00:00") or purse["end"].startswith("2027-01-01 00:00:00")
    run("grant", PROJECT, "500", "--name", "2026Q4", "--add")
    shown = run("show", PROJECT).stdout
    assert "10,500" in shown
    assert "PGPU 20" in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["grant", PROJECT, "5", "--price", "VCPU"], "--price: expected a class and its price"),
        (["grant", PROJECT, "5", "--from", "soon"], "--from: expected an instant"),
        # before all time in UTC, which is what it would be kept in
        (["grant", PROJECT, "5", "--until", "0001-01-01T00:00+14:00"], "--until: expected an instant"),
        (["grant", PROJECT, "nan"], "AMOUNT: expected a number from -"),
        (["grant", PROJECT, "5", "--add"], "has no purse 'credits'"),
        (["release", "7"], "booking 7: expected one that is pending"),
        (["flavour", "m1", "--cores", "1", "--memory", "much"], "expected a size"),
        (["serve", "--token-file", "/nowhere"], "--token-file: /nowhere can't be read"),
    ],
)
def test_a_mistake_is_one_line(run: Run, arguments: list[str], expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


def test_the_service_answers_until_it_is_ended(run: Run, database: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a secret of Blazar's\n")
    run("grant", PROJECT, "40")
    line = [sys.executable, "-m", "fairlead", "credits", "serve", "--token-file", str(token)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*line, "--port", "0", "--json", "--database", database],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=dict(os.environ),
        )
    try:
        assert process.stdout is not None
        url = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        assert url.startswith("http://127.0.0.1:")
        headers = {"X-Auth-Token": "a secret of Blazar's"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=300) as blazar:
            assert blazar.post("check-create", json=create(hours=2, start=FUTURE)).status_code == 204
            assert blazar.post("check-create", json=create(hours=3, start=FUTURE)).status_code == 403
            (booking,) = json.loads(run("show", "--json").stdout)["bookings"]
            assert booking["paid"] == {"credits": 20}
            assert blazar.post("on-end", json=end(create(hours=2, start=FUTURE))).status_code == 204
        assert "pending" not in run("show").stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 130
        log_text = (tmp_path / "log").read_text()
        assert "denied: lease 'lease' is refused" in log_text
        assert "secret" not in log_text
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

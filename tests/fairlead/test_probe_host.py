"""`fairlead probe host`, as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli import main

CATALOGUE = """
name = "Test"
[sites.here]
name = "Here"
latitude = 0
longitude = 0
host = { kind = "local" }
[sites.there]
name = "There"
latitude = 1
longitude = 1
iperf3_address = "127.0.0.1"
host = { kind = "ssh", name = "127.0.0.1", port = 1 }
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "sites.toml").write_text(CATALOGUE)
    return [
        "--catalogue",
        str(tmp_path / "sites.toml"),
        "--database",
        f"sqlite:///{tmp_path / 'fairlead.db'}",
    ]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def probe_host(capsys: pytest.CaptureFixture[str], files: list[str]) -> Run:
    """Exit status, output and errors of `fairlead probe host`."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["probe", "host", *arguments, *files])
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def test_small_buffers_for_a_long_path_are_told_with_their_source(probe_host: Run) -> None:
    # more than any kernel's default
    status, out, err = probe_host("here", "--to", "there", "--rate", "40 Gbit/s", "--rtt", "300 ms")
    assert (status, err) == (1, "")
    assert "rate: 40 Gbit/s, as given" in out
    assert "change: TCP buffers: net.ipv4.tcp_rmem ends at " in out
    assert "  says: ESnet Fasterdata, Host Tuning: Linux" in out


def test_json_has_facts_path_and_advice(probe_host: Run) -> None:
    status, out, _ = probe_host("here", "--to", "there", "--rate", "1 Mbit/s", "--rtt", "1 ms", "--json")
    document = json.loads(out)
    assert document["path"]["product_bytes"] == 125
    assert document["facts"]["interface"] == "lo"
    assert status == (1 if any(not one["note"] for one in document["advice"]) else 0)
    assert all(one["source"] for one in document["advice"])
    assert "TCP buffers" not in [one["topic"] for one in document["advice"]]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nowhere"], 2, "no site is called 'nowhere'"),
        (["here", "--to", "here"], 2, "expected another site"),
        (["here", "--rtt", "0 s"], 2, "--rtt: expected more than nothing"),
        (["here", "--rate", "fast"], 2, "expected a rate"),
        (["there"], 3, "there: the host can't be looked at: ssh: 127.0.0.1 port 1: "),
    ],
)
def test_what_is_wrong_is_one_line(probe_host: Run, arguments: list[str], status: int, words: str) -> None:
    left, _, err = probe_host(*arguments)
    assert left == status
    assert words in err
    assert err.count("\n") == 1

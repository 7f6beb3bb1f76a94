"""Numbers among options and arguments: what is none, or out of range, is one line that says what was
expected."""

from __future__ import annotations

import pytest

from fairlead.cli import main

NEED = ["space", "when", "--for", "3d"]
GRANT = ["credits", "grant", "radio"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*NEED, "--cores", "abc"], "--cores: expected a whole number from 1 to 1000000, got 'abc'"),
        ([*NEED, "--cores", "1.5"], "--cores: expected a whole number from 1 to 1000000, got '1.5'"),
        ([*NEED, "--gpu", "0"], "--gpu: expected a whole number from 1 to 1000000, got '0'"),
        ([*NEED, "--hosts", "-1"], "--hosts: expected a whole number from 1 to 1000000, got '-1'"),
        (
            [*NEED, "--instances", "9" * 60],
            f"--instances: expected a whole number from 1 to 1000000, got '{'9' * 40}'",
        ),
        ([*NEED, "--count", "101"], "--count: expected a whole number from 1 to 100, got '101'"),
        (["sessions", "--limit", "0"], "--limit: expected a whole number from 1 to 1000000, got '0'"),
        (["audit", "--limit", "9" * 20], "--limit: expected a whole number from 1 to 1000000, got"),
        (["serve", "--port", "65536"], "--port: expected a whole number from 0 to 65535, got '65536'"),
        (
            ["credits", "serve", "--token-file", "x", "--port", "http"],
            "--port: expected a whole number from 0 to 65535, got 'http'",
        ),
        (
            ["site", "nesting", "x", "--seconds", "nan"],
            "--seconds: expected a number from 1 to 86400, got 'nan'",
        ),
        (
            ["site", "nesting", "x", "--seconds", "inf"],
            "--seconds: expected a number from 1 to 86400, got 'inf'",
        ),
        ([*GRANT, "many"], "AMOUNT: expected a number from -1000000000000 to 1000000000000, got 'many'"),
        ([*GRANT, "nan"], "AMOUNT: expected a number from -1000000000000 to 1000000000000, got 'nan'"),
        (
            ["credits", "flavour", "m1", "--memory", "1 GiB", "--cores", "few"],
            "--cores: expected a whole number from 0 to 1000000, got 'few'",
        ),
        (["credits", "release", "x"], "BOOKING: expected a whole number from 1 to 1000000000, got 'x'"),
        (
            ["probe", "forecast", "a", "b", "--files", "0"],
            "--files: expected a whole number from 1 to 1000000000, got '0'",
        ),
        (
            ["report", "compare", "--evidence", "-1"],
            "--evidence: expected a whole number from 0 to 1000000, got '-1'",
        ),
    ],
    ids=lambda words: " ".join(words)[:40] if isinstance(words, list) else "",
)
def test_what_is_no_such_number_is_one_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    out, err = capfd.readouterr()
    assert (left.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"fairlead: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memory", "1000000 EiB"], "--memory: expected less, got '1000000 EiB'"),
        (["--disk", "2 EiB", "--instances", "1000000"], "--disk: expected less, got '2 EiB'"),
        (["--cores", "1", "--before", "40000d"], "--before: expected an end within 36525 days from now"),
        (["--cores", "1", "--for", "40000d"], "--for: expected an end within 36525 days from now"),
    ],
)
def test_what_no_calendar_counts_is_one_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["space", "when", "--for", "3d", *arguments, "--catalogue", "examples/space.toml"])
    assert (left.value.code, capfd.readouterr().err) == (2, f"fairlead: {said}\n")


def test_ranges_are_in_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["space", "when", "--help"])
    said = " ".join(capfd.readouterr().out.split())
    assert "--count <number> Windows of each site at most. [default: 3; 1<=x<=100]" in said

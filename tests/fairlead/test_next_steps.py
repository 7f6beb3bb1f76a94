"""Where there is nothing to do or to show, one line says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli import main

Run = Callable[..., tuple[int, str]]
SITES = """name = "mine"
[sites.perth]
name = "Perth"
latitude = -31.95
longitude = 115.86
"""
PLAN = """[[mesh]]
sites = "all"
tool = "iperf3"
every = "6 h"
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "sites.toml").write_text(SITES)
    (tmp_path / "plan.toml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", f"sqlite:///{tmp_path / 'fairlead.db'}")
    monkeypatch.setenv("FAIRLEAD_CATALOGUE", str(tmp_path / "sites.toml"))

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        return int(left.value.code or 0), capsys.readouterr().err

    return call


@pytest.mark.parametrize("how", [("run",), ("watch", "--dry-run")])
def test_a_plan_that_no_site_can_take_part_in(run: Run, how: tuple[str, ...]) -> None:
    status, err = run("probe", *how, "plan.toml")
    assert status == 2
    assert err.startswith("fairlead: plan.toml: no test comes of it")
    assert "iperf3_address" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("report", ["network", "compare", "accuracy"])
def test_a_site_that_nobody_knows_is_named(run: Run, report: str) -> None:
    _, err = run("report", report, "--sites", "perth,peth", "--format", "json", "--out", "out")
    assert "'peth' is in no catalogue here" in err
    assert "'perth'" not in err


def test_site_check_goes_by_the_catalogue_that_is_set(run: Run, tmp_path: Path) -> None:
    assert run("site", "check") == (0, "")
    (tmp_path / "sites.toml").write_text(SITES.replace("-31.95", "south"))
    status, err = run("site", "check")
    assert status == 2
    assert "sites.toml" in err
    # which is not asked where another is named
    (tmp_path / "other.toml").write_text(SITES)
    assert run("site", "check", "other.toml") == (0, "")


def test_a_site_is_tried_by_its_name(run: Run) -> None:
    status, err = run("site", "check", "perth")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "--image: expected an image that the site can run" in err
    assert run("site", "check", "perth", "--image", "example.org/any:1") == (
        2,
        "fairlead: site 'perth' has no platform\n",
    )
    status, err = run("site", "check", "peth")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "peth" in err

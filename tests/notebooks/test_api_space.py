"""What the API says of space is what `reservations` says, in cores and bytes."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

import fairlead
from federation.errors import InputError
from tests.notebooks.conftest import DATA

SITES = ["perth", "manchester", "lausanne", "penticton"]


def instant(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_windows_are_where_all_of_it_fits(week: fairlead.Fairlead) -> None:
    found = week.space.windows("2d", cores=48, memory="200 GiB")
    first = found.groupby("site", sort=False)["start"].first()
    # both machines of Lausanne are taken until then; Perth has two days at a time only on weekends
    assert first.to_dict() == {"lausanne": instant("2026-01-15 18:00"), "perth": instant("2026-01-17")}
    assert (found["end"] - found["start"] == pd.Timedelta(days=2)).all()
    assert (found["latest_start"] >= found["start"]).all()
    assert found["compromise"].isna().all()
    assert set(found.attrs["obstacles"]) == {"manchester (static)", "penticton (static)"}


def test_nothing_is_booked_where_a_window_is(week: fairlead.Fairlead) -> None:
    taken = week.space.bookings("30d")
    for window in week.space.windows("2d", hosts=1, cores=1, count=5).itertuples():
        same = taken[(taken["site"] == window.site) & (taken["host"] == window.hosts)]
        over = (same["start"] < window.end) & ~(same["end"] <= window.start)
        assert not over.any()


def test_compromises_are_sooner_or_where_it_never_fits(week: fairlead.Fairlead) -> None:
    found = week.space.windows("2d", cores=48, memory="200 GiB", compromises=True)
    first = found[found["compromise"].isna()].groupby("site")["start"].min()
    others = found[found["compromise"].notna()]
    assert {"manchester", "penticton"} <= set(others["site"])
    assert all(one.start < first.get(one.site, instant("2100-01-01")) for one in others.itertuples())


def test_what_is_free_and_what_is_taken_is_all_there_is(week: fairlead.Fairlead) -> None:
    now = week.space.now().set_index("site")
    free = week.space.free("14d")
    assert list(now.index) == SITES
    for site in SITES:
        steps = free[free["site"] == site]
        assert steps["start"].iloc[0] == pd.Timestamp(week.now)
        assert steps["end"].iloc[-1] == pd.Timestamp(week.now) + pd.Timedelta(days=14)
        assert (steps["start"].iloc[1:].to_numpy() == steps["end"].iloc[:-1].to_numpy()).all()
        assert steps["cores"].iloc[0] == now.loc[site, "cores_free"]
        assert steps["cores"].between(0, now.loc[site, "cores"]).all()
    assert now.loc["lausanne", "full"]
    assert now.loc["lausanne", "full_until"] == instant("2026-01-15 18:00")
    assert now.loc["penticton", "memory_bytes"] == 4 * 64 * 2**30


def test_bookings_that_have_no_end(week: fairlead.Fairlead) -> None:
    found = week.space.bookings(sites="manchester")
    assert found["end"].isna().all()
    assert found["holder"].unique().tolist() == ["particle physics"]
    part = week.space.bookings("1d", sites=["perth"]).set_index("host").loc[["cpu-4"]]
    assert part.loc[~part["whole"], "memory_bytes"].tolist() == [128 * 2**30]


def test_windows_are_those_of_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now, for the command knows no other time."""
    from fairlead.cli import main

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", f"sqlite:///{tmp_path / 'fairlead.db'}")
    # both look at the same snapshot: what was just seen is not asked for again
    with pytest.raises(SystemExit):
        main(
            ["space", "when", "--cores", "8", "--for", "3d", "--json", "--after", "2d",
             "--catalogue", str(DATA / "sites.toml")]
        )  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    with fairlead.open(tmp_path / "fairlead.db", catalogue=DATA / "sites.toml") as opened:
        found = opened.space.windows("3d", cores=8, after="2d")
    commanded = [(one["site"], each["hosts"]) for one in said["answers"] for each in one["openings"]]
    assert [(one.site, one.hosts.split(", ")) for one in found.itertuples()] == commanded


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"duration": "3d"}, "nothing is asked for: expected cores, memory, gpu, flavour or hosts"),
        ({"duration": "soon", "cores": 1}, "duration: expected"),
        ({"duration": "3d", "memory": "big"}, "memory: expected"),
        ({"duration": "3d", "cores": 1, "before": "never"}, "before: expected"),
        ({"duration": "3d", "cores": 1, "spread": "wide"}, "spread: expected"),
        ({"duration": "3d", "cores": 1, "count": 0}, "count: expected at least 1"),
        ({"duration": "3d", "cores": 1, "sites": "atlantis"}, "atlantis"),
    ],
)
def test_wrong_use_is_one_line(week: fairlead.Fairlead, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as failed:
        week.space.windows(**arguments)
    assert "\n" not in str(failed.value)
    assert "--" not in str(failed.value)

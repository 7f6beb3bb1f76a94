"""`fairlead report space`: of sites whose operators wrote down what they have, and of our own record."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.cli import main
from fairlead.recording import Recorder
from federation.catalogue import load_federation
from federation.clock import ManualClock
from federation.database import connect
from reservations.history.record import recorded, recorded_purses
from tests.databases import with_tables

UNTIL = datetime(2026, 11, 26, 12, tzinfo=UTC)
# two hosts of 8 cores: one is taken whole for 6 h of each day, of the other 2 cores for ever
CATALOGUE = """
name = "Two sites"

[sites.perth]
name = "Perth"
latitude = -31.95
longitude = 115.86

[[sites.perth.space]]
source = "static"

[[sites.perth.space.options.hosts]]
name = "cpu"
count = 2
cores = 8
memory = "32 GiB"

[[sites.perth.space.options.bookings]]
start = 2026-01-01T06:00:00Z
end = 2026-01-01T12:00:00Z
every = "1d"
host = "cpu-1"
holder = "ska"

[[sites.perth.space.options.bookings]]
start = 2026-01-01T00:00:00Z
host = "cpu-2"
cores = 2
memory = "8 GiB"

[sites.perth.credits]
source = "static"

[[sites.perth.credits.options.purses]]
name = "q4"
unit = "core-hours"
granted = 1000
spent = 400
per_hour = { VCPU = 1.0 }
start = 2026-11-16T12:00:00Z

[sites.empty]
name = "Empty"
latitude = 0.0
longitude = 0.0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sites.toml").write_text(CATALOGUE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("FAIRLEAD_CATALOGUE", str(tmp_path / "sites.toml"))
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", f"sqlite:///{tmp_path / 'fairlead.db'}")
    return tmp_path


def run(folder: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["report", "space", "--out", str(folder / "out"), *arguments])
    return int(leaving.value.code or 0)


def test_all_formats_say_what_was_counted_by_hand(folder: Path) -> None:
    formats = "html,pdf,md,csv,parquet,json"
    status = run(folder, "--until", UNTIL.isoformat(), "--since", "10d", "--ahead", "2d", "--format", formats)
    assert status == 0
    found = json.loads((folder / "out" / "space.json").read_text())
    (perth,) = found["tables"]["clouds"]
    # 10 d x (6 h x 8 cores + 24 h x 2)
    assert perth["core_hours_taken"] == 960
    assert perth["share_taken"] == pytest.approx(960 / (240 * 16))
    assert (perth["peak_share"], perth["peak_at"]) == (
        pytest.approx(10 / 16),
        "2026-11-16T12:00:00Z",
    ) or perth["peak_at"] == "2026-11-17T06:00:00Z"
    assert perth["core_hours_booked"] == 2 * 96
    assert perth["gib_hours_taken"] == 10 * (6 * 32 + 24 * 8)
    holders = {row["holder"]: row["core_hours_taken"] for row in found["tables"]["holders"]}
    assert holders == {"ska": 480, "not shown": 480}
    (credits,) = found["tables"]["credits"]
    assert credits["units_per_day"] == pytest.approx(40)
    assert credits["lasts_until"] == "2026-12-11T12:00:00Z"
    week = found["hour_of_week"]["Perth"]
    assert week[0][6:12] == [0.625] * 6
    assert week[6][0] == 0.125
    assert (folder / "out" / "space.pdf").read_bytes().startswith(b"%PDF")
    rows = list(csv.DictReader((folder / "out" / "space.csv").open()))
    assert [row["cloud"] for row in rows] == ["Perth"]
    assert (folder / "out" / "space-days.parquet").exists()
    assert "480" in (folder / "out" / "space.md").read_text()


def test_the_same_until_gives_the_same_files(folder: Path) -> None:
    made = []
    for _ in range(2):
        assert run(folder, "--until", UNTIL.isoformat(), "--format", "html,md,csv,json") == 0
        made.append({path.name: path.read_bytes() for path in (folder / "out").iterdir()})
    assert made[0] == made[1]
    # and what was asked as if it were another time is not recorded
    engine = connect(f"sqlite:///{folder / 'fairlead.db'}")
    assert not recorded(engine, UNTIL - timedelta(days=9), datetime.now(UTC) + timedelta(days=1))
    engine.dispose()


def test_what_is_read_for_a_report_is_recorded_for_the_next(folder: Path) -> None:
    assert run(folder, "--format", "json") == 0
    engine = connect(f"sqlite:///{folder / 'fairlead.db'}")
    now = datetime.now(UTC)
    found = recorded(engine, now - timedelta(hours=2), now + timedelta(hours=1))
    assert {each.resource for each in found} == {"VCPU", "MEMORY_MB", "HOSTS"}
    assert [each.remaining for each in recorded_purses(engine, now - timedelta(hours=2), now)] == [600]
    engine.dispose()


def test_what_the_broker_recorded_goes_before_what_is_written_down_now(folder: Path) -> None:
    engine = with_tables(folder / "fairlead.db")
    clock = ManualClock(UNTIL - timedelta(hours=5, minutes=30))
    recorder = Recorder(load_federation(folder / "sites.toml"), engine, clock)
    for _ in range(5):
        recorder.record()
        clock.advance(3600)
    assert recorder.seconds_to_next() == 32 * 60
    engine.dispose()
    # the operator takes the daily booking out, as if it had never been
    text = (folder / "sites.toml").read_text()
    a, b = (
        text.index("[[sites.perth.space.options.bookings]]"),
        text.rindex("[[sites.perth.space.options.bookings]]"),
    )
    (folder / "sites.toml").write_text(text[:a] + text[b:])
    assert run(folder, "--until", UNTIL.isoformat(), "--since", "1d", "--format", "json") == 0
    found = json.loads((folder / "out" / "space.json").read_text())
    # 24 h x 2 cores, and 8 more in the five hours that were recorded from 06:30 on
    assert found["tables"]["clouds"][0]["core_hours_taken"] == 24 * 2 + 5 * 8
    assert found["tables"]["sources"][0]["hours_recorded"] == 5
    # what is left in the purse was recorded, too, but for less than a day
    assert found["tables"]["credits"][0]["pace"] == "mean since 2026-11-16"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ahead", "soon"], '--ahead: expected a duration such as "3d"'),
        (["--ahead", "0 d"], "--ahead: expected more than nothing"),
        (["--since", "yesterday"], "--since: expected an instant"),
        (["--sites", "narnia"], "--sites: expected perth, empty"),
        (["--sites", "empty"], "nothing says when these sites have space"),
        (["--format", "docx"], "--format: expected html"),
    ],
)
def test_slips_are_told_in_a_line(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (folder / "out").exists()


def test_a_purse_that_cant_be_read_is_told_in_the_report(folder: Path) -> None:
    text = (folder / "sites.toml").read_text().replace('name = "q4"', 'name = "q4"\nproject = "radio"')
    (folder / "sites.toml").write_text(text)
    assert run(folder, "--format", "json") == 0
    found = json.loads((folder / "out" / "space.json").read_text())
    assert any("the credits of perth are not known" in remark for remark in found["remarks"])
    assert run(folder, "--format", "json", "--project", "radio") == 0
    assert json.loads((folder / "out" / "space.json").read_text())["tables"]["credits"]

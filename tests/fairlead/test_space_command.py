"""`fairlead space`: questions that an operator's own tables answer; the real cloud's are in tests/cloud."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from icalendar import Calendar

from fairlead.cli import main

Fairlead = Callable[..., tuple[int | str | None, str, str]]
HEAD = (
    '[sites.{id}]\nname = "{id}"\nlatitude = 0.0\nlongitude = 0.0\n[[sites.{id}.space]]\nsource = "static"\n'
)
HOSTS = '[[sites.{id}.space.options.hosts]]\nname = "node"\ncount = 2\ncores = 8\nmemory = "32 GiB"\n'
BOOKING = (
    '[[sites.{id}.space.options.bookings]]\nstart = {start}\nend = {end}\nname = "[red]survey[/red] :x:"\n'
)
PURSE = """
[sites.perth.credits]
source = "static"
[sites.perth.credits.options]
project = "radio"
[[sites.perth.credits.options.purses]]
project = "radio"
name = "this year"
unit = "core-hours"
granted = 100
per_hour = { VCPU = 1.0 }
"""


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def catalogue(tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Perth is full for a day; Manchester is empty, and half as large."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("OS_CLOUD", "OS_AUTH_URL", "FAIRLEAD_CATALOGUE"):
        monkeypatch.delenv(name, raising=False)
    perth, manchester = (HEAD.format(id=name) + HOSTS.format(id=name) for name in ("perth", "manchester"))
    times = {"start": (now - timedelta(days=1)).isoformat(), "end": (now + timedelta(days=1)).isoformat()}
    booked = BOOKING.format(id="perth", **times)
    file = tmp_path / "sites.toml"
    file.write_text('name = "two"\n' + perth + booked + PURSE + manchester.replace("count = 2", "count = 1"))
    return file


@pytest.fixture
def fairlead(catalogue: Path, capfd: pytest.CaptureFixture[str]) -> Fairlead:
    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["space", *arguments, "--catalogue", str(catalogue)])
        said = capfd.readouterr()
        return left.value.code, said.out, said.err

    return run


def test_the_soonest_window_comes_first(fairlead: Fairlead, now: datetime) -> None:
    status, out, _ = fairlead("when", "--cores", "8", "--for", "2h", "--json")
    assert status == 0
    first, second = json.loads(out)["answers"]
    assert (first["site"], second["site"]) == ("manchester", "perth")
    starts = [datetime.fromisoformat(each["openings"][0]["start"]) for each in (first, second)]
    assert now <= starts[0] <= now + timedelta(minutes=2)
    assert now + timedelta(days=1) <= starts[1] <= now + timedelta(days=1, minutes=1)
    assert first["openings"][0]["hosts"] == ["node-1"]


def test_what_is_not_soon_has_compromises_and_is_shown_as_tables(fairlead: Fairlead) -> None:
    status, out, _ = fairlead("when", "--cores", "8", "--instances", "2", "--for", "2h")
    assert status == 0
    assert "node-1, node-2" in out
    assert "1 instead of 2" in out


def test_what_never_fits_says_why_and_ends_with_1(fairlead: Fairlead) -> None:
    status, out, _ = fairlead("when", "--cores", "9", "--for", "2h")
    assert status == 1
    assert "no host gives 9 cores to one unit: 8 cores is the most" in out


def test_whole_hosts_and_units_are_what_they_say(fairlead: Fairlead) -> None:
    status, out, _ = fairlead("when", "--hosts", "2", "--for", "1d", "--json", "--site", "perth")
    assert status == 0
    (answer,) = json.loads(out)["answers"]
    assert answer["openings"][0]["hosts"] == ["node-1", "node-2"]
    assert answer["duration_seconds"] == 86_400


def test_windows_as_a_calendar_file(fairlead: Fairlead, tmp_path: Path) -> None:
    file = tmp_path / "windows.ics"
    status, _, err = fairlead("when", "--cores", "8", "--for", "2h", "--ics", str(file))
    assert (status, f"windows: {file}" in err.replace("\n", "")) == (0, True)
    events = [part for part in Calendar.from_ical(file.read_bytes()).walk() if part.name == "VEVENT"]
    assert {str(event["location"]) for event in events} == {"perth", "manchester"}


def test_what_is_free_now_and_until_when_it_is_full(fairlead: Fairlead, now: datetime) -> None:
    status, out, _ = fairlead("now", "--json")
    assert status == 0
    perth, manchester = json.loads(out)["sites"]
    assert (perth["full"], perth["free"]["VCPU"], perth["hosts_free"]) == (True, 0, 0)
    assert datetime.fromisoformat(perth["full_until"]) >= now + timedelta(days=1)
    assert (manchester["full"], manchester["free"]["VCPU"], manchester["full_until"]) == (False, 8, None)
    assert "0 of 16" in fairlead("now")[1]


def test_the_calendar_in_every_form(fairlead: Fairlead, tmp_path: Path) -> None:
    files = {form: tmp_path / f"calendar.{form}" for form in ("png", "svg", "html", "ics")}
    options = [word for form, file in files.items() for word in (f"--{form}", str(file))]
    status, out, _ = fairlead("calendar", *options)
    assert (status, out) == (0, "")
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in files["svg"].read_bytes()
    assert b"<!doctype html>" in files["html"].read_bytes().lower()
    assert Calendar.from_ical(files["ics"].read_bytes())


def test_names_that_people_chose_are_shown_as_they_are(fairlead: Fairlead) -> None:
    _, out, _ = fairlead("calendar", "--site", "perth")
    assert "[red]survey[/red] :x:" in " ".join(out.split())


def test_what_credits_allow(fairlead: Fairlead) -> None:
    status, out, _ = fairlead("afford", "--cores", "8", "--for", "12h", "--json")
    assert status == 0
    (site,) = json.loads(out)["sites"]
    assert (site["site"], site["allowed"], site["most_units"]) == ("perth", True, 1)
    assert site["longest_seconds"] == 12.5 * 3600
    assert fairlead("afford", "--cores", "8", "--for", "13h")[0] == 1


def test_a_refusal_is_explained_by_looking(fairlead: Fairlead) -> None:
    status, out, _ = fairlead(
        "explain", "Not enough hosts available", "--cores", "8", "--for", "3h", "--site", "perth"
    )
    assert status == 0
    assert "too much is booked" in out
    assert "it would work from" in out
    status, out, _ = fairlead(
        "explain", "Quota exceeded for cores: Requested 4, but already used 20 of 20 cores"
    )
    assert (status, out.partition(":")[0]) == (0, "quota")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["when", "--for", "3h"], "nothing is asked for"),
        (["when", "--cores", "1", "--for", "soon"], "--for: expected a duration"),
        (["when", "--cores", "1", "--for", "0h"], "--for: expected more than nothing"),
        (["when", "--cores", "1", "--for", "1h", "--after", "x"], "--after: expected an instant"),
        (["when", "--cores", "1", "--for", "1h", "--after", "3d", "--before", "2d"], "--before: expected"),
        (["when", "--cores", "1", "--for", "1h", "--memory", "lots"], "--memory: expected a size"),
        (["when", "--cores", "1", "--for", "1h", "--spread", "wide"], "--spread: expected one of any"),
        (["when", "--cores", "1", "--for", "1h", "--properties", "gpu"], "--properties: expected a list"),
        (["when", "--hosts", "1", "--instances", "2", "--for", "1h"], "--hosts is whole machines"),
        (["when", "--flavour", "a", "--cores", "2", "--for", "1h"], "--flavour says what a unit has"),
        (["when", "--cores", "1", "--for", "1h", "--site", "x"], "no site is called 'x'"),
        (["reserve", "x", "--cores", "1", "--for", "1h"], "none of these sites can be booked"),
        (["extend", "x"], "expected either --by or --until"),
        (["explain", "no-such-server"], "no server is called"),
        (["explain", "no room", "--cores", "1"], "expected both"),
    ],
)
def test_a_mistake_is_one_line(fairlead: Fairlead, arguments: list[str], expected: str) -> None:
    status, out, err = fairlead(*arguments)
    assert status == 2
    assert expected in err
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "arguments",
    [["when", "--cores", "2", "--for", "3d"], ["now"], ["calendar"], ["list"]],
    ids=lambda arguments: arguments[0],
)
def test_a_cloud_that_nobody_knows_is_told_once(fairlead: Fairlead, arguments: list[str]) -> None:
    status, out, err = fairlead(*arguments, "--cloud", "nowhere")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.count("cloud 'nowhere': Cloud nowhere was not found: expected a cloud of clouds.yaml") == 1


def test_nothing_to_ask_is_told(tmp_path: Path, fairlead: Fairlead, catalogue: Path) -> None:
    catalogue.write_text('name = "none"\n[sites.x]\nname = "x"\nlatitude = 0.0\nlongitude = 0.0\n')
    status, _, err = fairlead("now")
    assert (status, "nothing says when these sites have space" in err) == (2, True)

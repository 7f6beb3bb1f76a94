"""What every source of credits owes (`reservations.credits.CreditSource`), and what each reads right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from federation.clock import ManualClock
from federation.database import connect, upgrade
from federation.errors import InputError, OutsideError
from federation.sites import Credits, Place, Site
from reservations.afford import longest
from reservations.calendar import Need
from reservations.credits import GROUP, CreditSource, load_credits
from reservations.enforcement.purses import grant
from tests.reservations.credit_services import TOKEN, Coral, Kitty, clouds_yaml, serving

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SOURCES = sorted(entry.name for entry in entry_points(group=GROUP))
# Keystone writes ids without hyphens, Django with them
RADIO, OTHER, NOBODY = "8a7a9248a0024f9dbca6e48d2824791d", "567f04346a444347848cef6bbf13ba33", "00" * 16
RADIO_DJANGO = "8a7a9248-a002-4f9d-bca6-e48d2824791d"


@dataclass
class World:
    """A source's outside: 1000 were granted to RADIO, of which 40 are left; OTHER has 7."""

    options: dict[str, Any]
    spend: Callable[[float], None]
    gone: Callable[[], object]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _static(directory: Path, stack: ExitStack) -> World:
    file = directory / "purses.toml"
    said = {"spent": 960.0}

    def write() -> None:
        purse = '[[purses]]\nname = "2026Q4"\nunit = "core-hours"\nper_hour = { VCPU = 1 }\n'
        file.write_text(
            f'{purse}project = "{RADIO}"\ngranted = 1000\nspent = {said["spent"]}\n'
            "start = 2026-10-01T00:00:00Z\nend = 2027-01-01T00:00:00Z\n"
            f'{purse}project = "{OTHER}"\ngranted = 7\n'
        )

    def spend(units: float) -> None:
        said["spent"] += units
        write()

    write()
    return World({"file": str(file)}, spend, file.unlink)


def _coral(directory: Path, stack: ExitStack) -> World:
    coral = Coral({1: RADIO_DJANGO, 2: OTHER})
    quarter = (NOW - 60 * DAY, NOW + 31 * DAY)
    coral.allocations = [
        ("last year", 1, NOW - 400 * DAY, NOW - 40 * DAY, {"VCPU": (5000.0, 5000.0)}),
        ("2026Q4", 1, *quarter, {"VCPU": (40.0, 1000.0), "MEMORY_MB": (1e6, 1e6)}),
        ("2026Q4", 2, *quarter, {"VCPU": (7.0, 7.0)}),
    ]
    token = directory / "token"
    token.write_text(f"{TOKEN}\n")

    def spend(units: float) -> None:
        name, account, start, end, resources = coral.allocations[1]
        remaining, granted = resources["VCPU"]
        coral.allocations[1] = (
            name,
            account,
            start,
            end,
            {**resources, "VCPU": (remaining - units, granted)},
        )

    running = stack.enter_context(ExitStack())
    url = running.enter_context(serving(coral))
    return World({"url": url, "token_file": str(token), "request_seconds": 60}, spend, running.close)


def _cloudkitty(directory: Path, stack: ExitStack) -> World:
    pytest.importorskip("openstack")
    kitty = Kitty({RADIO: [(NOW - 90 * DAY, 5000.0), (NOW - 2 * DAY, 960.0)], OTHER: [(NOW - DAY, 993.0)]})
    running = stack.enter_context(ExitStack())
    url = running.enter_context(serving(kitty))
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds_yaml(directory, url)))
    budget = {"name": "2026Q4", "unit": "core-hours", "granted": 1000, "per_hour": {"VCPU": 1}}
    times = {"start": datetime(2026, 10, 1, tzinfo=UTC), "end": datetime(2027, 1, 1, tzinfo=UTC)}

    def spend(units: float) -> None:
        kitty.rated[RADIO].append((NOW, units))

    return World({"cloud": "kitty", **budget, **times}, spend, running.close)


def _fairlead(directory: Path, stack: ExitStack) -> World:
    from reservations.enforcement.bodies import Asked
    from reservations.enforcement.ledger import Ledger

    url = f"sqlite:///{directory / 'credits.db'}"
    engine = connect(url)
    stack.callback(engine.dispose)
    upgrade(engine)
    clock = ManualClock(NOW)
    grant(engine, NOW, RADIO, "2026Q4", 1000, "core-hours", {"VCPU": 1}, NOW - DAY, NOW + 31 * DAY)
    grant(engine, NOW, OTHER, "2026Q4", 7, "core-hours", {"VCPU": 1})

    def spend(units: float) -> None:
        amounts = {"VCPU": round(units)}
        asked = Asked(RADIO, "x", NOW, NOW + timedelta(hours=1), amounts, Need(amounts), "instance")
        Ledger(engine, clock).check_create(asked)

    spend(960)

    def gone() -> None:
        engine.dispose()
        for file in directory.glob("credits.db*"):
            file.write_bytes(b"no database")

    return World({"database": url}, spend, gone)


WORLDS: dict[str, Callable[[Path, ExitStack], World]] = {
    "static": _static,
    "coral": _coral,
    "cloudkitty": _cloudkitty,
    "fairlead": _fairlead,
}


def source(name: str, options: dict[str, Any]) -> CreditSource:
    site = Site("perth", "Perth", Place(0, 0), credits=Credits(name, options))
    found = load_credits(site, ManualClock(NOW))
    assert found is not None
    return found


@pytest.fixture(params=SOURCES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(name: str, tmp_path: Path, stack: ExitStack) -> World:
    return WORLDS[name](tmp_path, stack)


def test_every_source_of_the_group_is_here() -> None:
    assert set(SOURCES) == set(WORLDS)


def test_the_accounts_say_what_is_left_since_when_and_what_it_buys(name: str, world: World) -> None:
    accounts = source(name, world.options).accounts(RADIO)
    assert accounts
    for account in accounts:
        assert account.name
        assert account.unit
        assert math.isfinite(account.left)
        assert account.left >= 0
        assert account.granted is None or account.granted >= account.left
        assert all(price >= 0 for price in account.per_hour.values())
        assert account.known_at == NOW
        for instant in (account.start, account.end):
            assert instant is None or instant.utcoffset() == timedelta(0)
        assert all("\n" not in remark for remark in account.remarks)
    assert longest(accounts, Need({"VCPU": 4}), NOW).most == timedelta(hours=10)


def test_what_was_spent_meanwhile_is_seen_and_asking_spends_nothing(name: str, world: World) -> None:
    here = source(name, world.options)
    assert here.accounts(RADIO) == here.accounts(RADIO)
    world.spend(20)
    assert longest(here.accounts(RADIO), Need({"VCPU": 4}), NOW).most == timedelta(hours=5)


def test_the_option_project_is_who_is_meant_unless_somebody_says(name: str, world: World) -> None:
    named = source(name, {**world.options, "project": OTHER})
    assert longest(named.accounts(), Need({"VCPU": 1}), NOW).most == timedelta(hours=7)
    assert named.accounts(RADIO) == source(name, world.options).accounts(RADIO)
    with pytest.raises(InputError, match="expected the project whose credits are meant"):
        source(name, world.options).accounts()


def test_many_threads_may_ask_at_once(name: str, world: World) -> None:
    here = source(name, world.options)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: here.accounts(RADIO), range(8)))
    assert all(answer == answers[0] for answer in answers)


def test_an_unknown_option_is_one_line_with_the_known_ones(name: str, world: World) -> None:
    with pytest.raises(
        InputError, match=r"\[sites.perth.credits.options\]: unknown pruse: expected"
    ) as caught:
        source(name, {**world.options, "pruse": 1})
    assert "\n" not in str(caught.value)


def test_a_service_that_is_away_is_one_line(name: str, world: World) -> None:
    here = source(name, world.options)
    world.gone()
    with pytest.raises((InputError, OutsideError)) as caught:
        here.accounts(RADIO)
    assert "\n" not in str(caught.value)


def test_an_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="cloudkitty, coral, fairlead, static"):
        source("gold", {})


# coral-credits alone


def test_coral_refuses_what_has_no_allocation_and_says_that_no_class_may_be_left_out(
    tmp_path: Path, stack: ExitStack
) -> None:
    accounts = source("coral", _coral(tmp_path, stack).options).accounts(RADIO)
    assert [account.name for account in accounts] == ["2026Q4: VCPU", "2026Q4: MEMORY_MB"]
    assert longest(accounts, Need({"VCPU": 1, "PGPU": 1}), NOW).resource == "PGPU"
    assert "leaves out one of its classes: VCPU, MEMORY_MB" in accounts[0].remarks[0]
    # 13 hours of 3 cores are 39; a minute more would be 39.05, which the service rounds up to 40
    assert longest(accounts, Need({"VCPU": 3}), NOW).most == timedelta(minutes=800)


def test_of_two_allocations_with_a_class_coral_takes_the_later(tmp_path: Path, stack: ExitStack) -> None:
    coral = Coral({1: RADIO})
    for left in (500.0, 3.0):
        coral.allocations.append((f"{left:g}", 1, NOW - DAY, NOW + DAY, {"VCPU": (left, 500.0)}))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    url = stack.enter_context(serving(coral))
    here = source("coral", {"url": url, "token_file": str(token)})
    (account,) = here.accounts(RADIO)
    assert (account.name, account.left) == ("3: VCPU", 3.0)
    assert here.accounts(NOBODY) == []


@pytest.mark.parametrize(
    ("token", "expected"),
    [("wrong", "the token in .* is not accepted"), (None, "token_file: .* can't be read")],
)
def test_a_token_that_coral_does_not_take_is_told(
    tmp_path: Path, stack: ExitStack, token: str | None, expected: str
) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text(token)
    url = stack.enter_context(serving(Coral()))
    with pytest.raises((InputError, OutsideError), match=expected) as caught:
        source("coral", {"url": url, "token_file": str(file)}).accounts(RADIO)
    assert "wrong" not in str(caught.value)


# CloudKitty alone


def test_cloudkitty_prices_flavours_where_their_ratings_are_shown(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openstack")
    kitty = Kitty({}, {"m1.large": 4.2})
    url = stack.enter_context(serving(kitty))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds_yaml(tmp_path, url)))
    options = {
        "cloud": "kitty", "name": "2026Q4", "unit": "AUD", "granted": 42, "collect_period": "2h",
        "start": NOW - DAY, "end": NOW + DAY,
    }  # fmt: skip
    (account,) = source("cloudkitty", options).accounts(RADIO)
    assert account.per_hour_of_flavour == {"m1.large": pytest.approx(2.1)}
    need = Need({"VCPU": 8}, 2, flavour="m1.large")
    exact = replace(account, per_hour_of_flavour={"m1.large": 2.1})
    assert longest([exact], need, NOW).most == timedelta(hours=10)
    assert any("not rated by CloudKitty yet" in remark for remark in account.remarks)
    assert any("rated by image_id besides" in remark for remark in account.remarks)
    kitty.hidden = True
    (account,) = source("cloudkitty", options).accounts(RADIO)
    assert account.per_hour_of_flavour == {}
    assert any("expected per_hour in the options" in remark for remark in account.remarks)

"""The report's figures, against what is counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.space_use import frames, holding, words
from reports.space_use.model import Purse
from reports.space_use.purses import burn
from reports.space_use.series import Basis, after, before, together
from reports.space_use.waits import USUAL, first_of, pieces, waits
from reservations.calendar import PGPU, VCPU, Sight
from reservations.credits import Account
from reservations.history.past import End
from reservations.history.record import Remaining
from tests.reports.space_use.made import (
    AHEAD,
    DAY,
    HOUR,
    NOW,
    calendar,
    cloud,
    host,
    past,
    reading,
    sample,
    taken,
    use,
)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12.34, "12.3"), (999.4, "999"), (999.7, "1,000"), (12_345.6, "12,346")]
)
def test_a_number_is_said_without_an_exponent(value: float, text: str) -> None:
    assert words.number(value) == text


def test_core_hours_of_the_past_are_those_of_the_source() -> None:
    # 8 cores; 4 for 10 h, 8 for 6 h of which 2 h lie beside the 4: no more than full
    uses = past(use(20, 10, 4), use(12, 6, 8))
    found = before(cloud(calendar([host(1)], []), past=uses), reading())
    assert found.resource_hours(VCPU) == 4 * 8 + 8 * 6
    assert found.share() == pytest.approx((32 + 48) / (48 * 8))
    assert found.peak() == (1.0, NOW - 12 * HOUR)
    assert set(found.basis.tolist()) == {Basis.SOURCE}


def test_hours_that_nobody_knows_are_not_zero() -> None:
    samples = (sample(3, 4), sample(2, 8, ours=2), sample(2, 1, total=2, resource=PGPU))
    found = before(cloud(calendar([host(1)], []), samples=samples), reading())
    assert int(found.known.sum()) == 2
    assert found.share() == pytest.approx(12 / 16)
    assert found.resource_hours(VCPU) == 12
    assert found.resource_hours(PGPU) == 1
    assert found.first_known() == NOW - 3 * HOUR
    assert np.nansum(found.ours) == 2
    nothing = before(cloud(calendar([host(1)], [])), reading())
    assert (nothing.share(), nothing.peak(), nothing.resource_hours(VCPU)) == (None, None, None)


def test_that_a_source_which_forgets_remembers_nothing_says_nothing() -> None:
    shown = calendar([host(1)], [])
    assert not before(cloud(shown, past=past(whole=False)), reading()).known.any()
    assert before(cloud(shown, past=past()), reading()).share() == 0.0


def test_our_own_record_goes_before_what_the_source_remembers() -> None:
    found = before(
        cloud(
            calendar([host(1)], []), past=past(use(4, 2, 8), whole=False), samples=(sample(3, 2, total=16),)
        ),
        reading(),
    )
    assert found.taken[VCPU][-5:].tolist() == [0, 8, 2, 0, 0]
    assert found.total[VCPU][-5:].tolist() == [8, 8, 16, 8, 8]
    assert found.basis[-4:].tolist() == [Basis.AT_LEAST, Basis.RECORD, Basis.AT_LEAST, Basis.AT_LEAST]


def test_what_is_ahead_is_what_is_booked_as_far_as_the_calendar_goes() -> None:
    bookings = [taken(1, -2, 3, 4), taken(1, 3, None), taken(2, 0, 9)]
    shown = calendar([host(1), host(2, bookable=False)], bookings, until=NOW + 6 * HOUR)
    found = after(cloud(shown), reading())
    assert found.grid.end == AHEAD
    assert found.taken[VCPU][:6].tolist() == [4, 4, 4, 8, 8, 8]
    assert int(found.known.sum()) == 6
    assert found.share() == pytest.approx(36 / 48)


def test_ours_are_marked() -> None:
    bookings = [taken(1, 0, 3, 4, ours="imaging"), taken(1, 0, 3, 2)]
    found = after(cloud(calendar([host(1)], bookings)), reading())
    assert np.nansum(found.ours) == 12


def test_all_together_is_the_sum_of_those_that_are_known() -> None:
    one = before(cloud(calendar([host(1)], []), samples=(sample(3, 4), sample(2, 4))), reading())
    two = before(cloud(calendar([host(1)], []), samples=(sample(2, 32, total=32),)), reading())
    both = together([one, two])
    assert both.share() == pytest.approx((4 + 4 + 32) / (8 + 8 + 32))
    peak = both.peak()
    assert peak is not None
    assert peak[0] == pytest.approx(36 / 40)
    assert peak[1] == NOW - 2 * HOUR
    assert int(both.known.sum()) == 2


@given(st.lists(st.tuples(st.integers(-60, 30), st.integers(1, 40), st.integers(1, 9)), max_size=6))
def test_days_and_hours_of_the_week_sum_up_to_the_whole(rows: list[tuple[int, int, int]]) -> None:
    hosts = [host(n, cores=9) for n in range(len(rows) or 1)]
    bookings = [taken(n, first, first + length, cores) for n, (first, length, cores) in enumerate(rows)]
    uses = [use(-first, -first - length, cores) for first, length, cores in rows if first < 0]
    one = cloud(calendar(hosts, bookings), past=past(*uses))
    known = reading(one)
    series = before(one, known), after(one, known)
    by_hand = sum(
        cores for first, length, cores in rows for hour in range(first, first + length) if -48 <= hour < 0
    )
    ahead = sum(
        cores for first, length, cores in rows for hour in range(first, first + length) if 0 <= hour < 24
    )
    days = frames.days([("Perth", *series)])
    sums = days.groupby("when")["core_hours_taken"].sum()
    assert sums["before"] == pytest.approx(by_hand)
    assert sums["ahead"] == pytest.approx(ahead)
    assert days.groupby("when")["core_hours"].sum()["before"] == len(hosts) * 9 * 48
    week = frames.hour_of_week(series[0])
    # 48 hours are each one hour of the week
    assert np.nansum(week) * len(hosts) * 9 == pytest.approx(by_hand)
    held = holding.holders(known, [series[0]], [series[1]])
    assert held["core_hours_taken"].sum() == pytest.approx(by_hand)
    assert held["core_hours_booked"].sum() == pytest.approx(ahead)


def test_the_hours_of_the_week_are_where_they_belong() -> None:
    # now is Thursday noon: two days back is Tuesday noon
    found = before(cloud(calendar([host(1)], []), samples=(sample(48, 8), sample(1, 2))), reading())
    week = frames.hour_of_week(found)
    assert (week[1, 12], week[3, 11], int(np.isfinite(week).sum())) == (1.0, 0.25, 2)


def test_days_are_those_of_the_calendar() -> None:
    found = before(cloud(calendar([host(1)], []), samples=(sample(12, 8), sample(13, 4))), reading())
    days = frames.days([("Perth", found, after(cloud(None), reading()))])
    told = days[days["when"] == "before"]
    assert [f"{day:%m-%d}" for day in told["day"]] == ["11-24", "11-25", "11-26"]
    assert told["hours_known"].tolist() == [0, 1, 1]
    assert told["share"].tolist()[1:] == [0.5, 1.0]
    assert pd.isna(told["core_hours_taken"].iloc[0])


def test_holders_are_told_as_far_as_they_are_shown() -> None:
    bookings = [taken(1, 0, 2, 4, holder="ska"), taken(1, 0, 1, 2, ours="x"), taken(1, 0, 1, 1)]
    one = cloud(calendar([host(1)], bookings), past=past(use(5, 3, 2, holder="ska"), use(4, 3, 1, ours="y")))
    known = reading(one)
    found = holding.holders(known, [before(one, known)], [after(one, known)]).set_index("holder")
    assert found["core_hours_taken"].to_dict() == {"ska": 4, "ours": 1, "not shown": 0}
    assert found["core_hours_booked"].to_dict() == {"ska": 8, "ours": 2, "not shown": 1}


def test_of_what_was_only_recorded_ours_is_known_and_the_rest_not_by_whom() -> None:
    one = cloud(calendar([host(1)], []), samples=(sample(3, 6, ours=2), sample(2, 4)))
    known = reading(one)
    found = holding.holders(known, [before(one, known)], [after(one, known)]).set_index("holder")
    assert found["core_hours_taken"].to_dict() == {holding.UNRECORDED: 8, holding.OURS: 2}


def test_hosts_are_told_where_the_source_tells_them() -> None:
    there = replace(use(24, 0, 8), hosts={"h1": {VCPU: 8}})
    one = cloud(calendar([host(1), host(2)], [taken(2, 0, 6)]), past=past(there))
    known = reading(one)
    found = holding.hosts(known, [before(one, known)], [after(one, known)]).set_index("host")
    assert found["share_taken"].to_dict() == {"node-1": 0.5, "node-2": 0.0}
    assert found["share_booked"].to_dict() == {"node-1": 0.0, "node-2": 0.25}
    untold = cloud(calendar([host(1)], []), past=past(use(24, 0, 8)))
    known = reading(untold)
    found = holding.hosts(known, [before(untold, known)], [after(untold, known)])
    assert found["share_taken"].isna().all()


def test_one_waits_for_the_first_opening_over_all_ways_of_booking() -> None:
    shown = calendar([host(1, 8), host(2, 8)], [taken(1, -1, 5), taken(2, -1, 30, 5)])
    known = reading(cloud(shown), cloud(calendar([host(1, 64, gpus=2)], []), "manchester"))
    found = {(each.cloud, each.usual.name): each for each in waits(known)}
    hours = {
        name: (wait.seconds(NOW) or 0) / 3600
        for (site, name), wait in found.items()
        if site == "Perth" and wait.start
    }
    # 4 cores at h1 after 5 h; 8 of 16 there, too; a whole host likewise
    assert hours == {"small": 5, "half": 5, "whole_host": 5}
    assert found["Perth", "gpu"].why == "has none"
    assert found["Manchester", "gpu"].start == NOW
    first = first_of(list(found.values()), "small")
    assert first is not None
    assert (first.cloud, first.start) == ("Manchester", NOW)
    assert first_of([], "small") is None


def test_a_cloud_that_never_has_room_says_why_and_one_that_hides_says_so() -> None:
    full = calendar([host(1)], [taken(1, -1, None)])
    hidden = calendar([host(1, 0)], [], Sight.NONE)
    found = waits(reading(cloud(full), cloud(hidden, "manchester"), cloud(None, "karratha")))
    assert {each.start for each in found} == {None}
    assert "too much is booked" in found[0].why
    assert {each.why for each in found[len(USUAL) :]} == {"not shown"}


def test_whole_hosts_are_asked_for_where_only_these_can_be_booked() -> None:
    shown = calendar(
        [host(n) for n in range(4)], [taken(0, -1, 2), taken(1, -1, 3), taken(2, -1, 9)], kind="physical:host"
    )
    found = {each.usual.name: each.seconds(NOW) for each in waits(reading(cloud(shown)))}
    assert found == {"small": 0, "half": 2 * 3600, "whole_host": 0, "gpu": None}


def test_free_cores_lie_in_pieces() -> None:
    shown = calendar(
        [host(1), host(2), host(3), host(4, bookable=False)], [taken(1, -1, 1, 3), taken(2, -1, 1)]
    )
    found = pieces(shown, NOW)
    assert (found.cores, found.largest, found.largest_host) == (13, 8, "node-3")
    assert (found.hosts_with_some, found.whole_hosts, found.small) == (2, 1, 3)
    assert found.scattered == pytest.approx(5 / 13)
    full = pieces(calendar([host(1)], [taken(1, -1, 4)]), NOW)
    assert (full.cores, full.largest, full.scattered) == (0, 0, None)
    frame = frames.free_now(reading(cloud(calendar([host(1)], [taken(1, -1, 4)]))))
    assert frame["full_until"].iloc[0] == NOW + 4 * HOUR


def test_bookings_are_counted_by_how_they_ended() -> None:
    early = replace(use(10, 8, 1, End.EARLY), asked_end=NOW - 6 * HOUR)
    on_time = replace(use(10, 6, 1), asked_end=NOW - 6 * HOUR)
    uses = past(
        early, on_time, use(9, 9, 0, End.FAILED), use(9, 9, 0, End.UNUSED), use(3, None, 1, End.RUNNING)
    )
    told = cloud(None, past=uses)
    untold = cloud(None, "manchester", problem="this source knows the present only")
    first, second = frames.endings(reading(told, untold)).to_dict("records")
    assert [first[key] for key in ("bookings", "ended", "early", "failed", "unused", "running")] == [
        5,
        1,
        1,
        1,
        1,
        1,
    ]
    assert first["share_of_asked_time_used"] == pytest.approx(6 / 8)
    assert pd.isna(second["bookings"])
    assert second["remark"] == "this source knows the present only"


def purse(left: float, *history: tuple[float, float], start: bool = False) -> Purse:
    account = Account("q4", "core-hours", left, 1000.0, {VCPU: 1.0}, NOW, NOW - 10 * DAY if start else None)
    return Purse(
        "perth", account, tuple(Remaining("perth", "q4", NOW - days * DAY, units) for days, units in history)
    )


def test_credits_burn_as_recorded_and_a_grant_is_no_saving() -> None:
    # 300 spent, 500 granted, 100 spent: 400 in four days
    found = burn(purse(700, (4, 600), (2, 300), (1, 800)), NOW)
    assert found.per_day == pytest.approx(100)
    assert found.lasts_until == NOW + 7 * DAY


def test_without_a_record_credits_burn_as_since_the_purses_beginning() -> None:
    found = burn(purse(500, start=True), NOW)
    assert found.per_day == pytest.approx(50)
    assert found.lasts_until == NOW + 10 * DAY
    assert burn(purse(500), NOW).per_day is None
    assert burn(purse(500, (0.5, 900)), NOW).per_day is None
    idle = burn(purse(1000, start=True), NOW)
    assert (idle.per_day, idle.lasts_until) == (0.0, None)
    assert burn(purse(1000, (9, 1000 + 1e-9)), NOW).lasts_until is None


def test_clouds_are_told_the_fullest_first_and_all_together_last() -> None:
    small = cloud(calendar([host(1, gpus=2)], []), samples=(sample(3, 1),))
    large = cloud(
        calendar([host(1, 56)], [taken(1, 0, 12)]), "manchester", samples=(sample(3, 56, total=56),)
    )
    known = reading(small, large)
    past_series = [before(one, known) for one in known.clouds]
    ahead = [after(one, known) for one in known.clouds]
    both = together(past_series), together(ahead)
    found = frames.clouds(known, past_series, ahead, both)
    assert found["cloud"].tolist() == ["Manchester", "Perth", frames.ALL]
    assert found["cores"].tolist() == [56, 8, 64]
    assert found["share_taken"].tolist() == [1.0, 0.125, pytest.approx(57 / 64)]
    assert found["share_booked"].tolist() == [0.5, 0.0, pytest.approx(28 / 64)]
    assert found["core_hours_booked"].tolist() == [56 * 12, 0, 56 * 12]
    assert found["hours_known"].tolist() == [1, 1, 1]
    assert found["gpus"].tolist() == [0, 2, 2]

"""Transfers as the archive has them, with the tests around them; and tests that are forecast again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from netprobe.archive import Archive
from netprobe.evidence import Rung
from netprobe.history import History
from netprobe.quantiles import Quantiles
from reports.promises import backtest, transfers
from tests.reports.promises.making import FORECAST, SINCE, UNTIL, hours, moved, throughput


def test_a_transfer_comes_with_the_tests_around_it(engine: Engine) -> None:
    grounds = {"forecast": {"rung": "measured", "newest_age_seconds": 900.0, "tests": 4, "transfers": 0}}
    Archive(engine).add(
        [
            throughput(-1, 5e8),
            throughput(9, 6e8),
            # of parallel streams, of another path, failed: none of them is the last test
            throughput(9.1, 9e9, parameters={"streams": 8}),
            throughput(9.2, 9e9, destination="c"),
            throughput(9.3, 9e9, error="a: refused"),
            throughput(11, 3e8),
            moved(10, 12.0, context=grounds),
            moved(0.5, 10.0),
        ]
    )
    first, second = transfers.read(engine, SINCE, UNTIL).found
    assert (first.last_rate, first.last_age_seconds, first.next_rate) == (5e8, 5400.0, 6e8)
    assert (first.rung, first.tests_age_seconds) == (None, None)
    assert (second.last_rate, second.last_age_seconds, second.next_rate) == (6e8, 3600.0, 3e8)
    assert (second.rung, second.tests_age_seconds) == (Rung.MEASURED, 900.0)
    assert second.forecast == FORECAST
    assert second.inside
    assert second.naive_log_error == pytest.approx(0.0, abs=0.11)


def test_only_the_time_and_the_sites_that_were_asked_for_are_read(engine: Engine) -> None:
    ahead = UNTIL + timedelta(days=1)
    Archive(engine).add(
        [
            moved(-1, 9.0),
            moved(0, 9.0),
            moved(720, 9.0),
            moved(5, 9.0, destination="c"),
            replace(moved(1, 9.0), started=ahead),
        ]
    )
    assert [one.destination for one in transfers.read(engine, SINCE, UNTIL).found] == ["b", "c"]
    found = transfers.read(engine, SINCE, UNTIL, {"a", "b"}, UNTIL)
    assert [one.destination for one in found.found] == ["b"]
    assert found.ahead == 1


def test_those_that_run_at_the_same_time_at_a_site_are_beside_each_other(engine: Engine) -> None:
    Archive(engine).add(
        [
            moved(1, 7200.0),
            moved(2, 60.0, source="c", destination="b"),
            moved(2.5, 60.0, source="d", destination="e"),
            moved(4, 60.0),
        ]
    )
    found = transfers.read(engine, SINCE, UNTIL).found
    assert [one.beside for one in found] == [1, 1, 0, 0]


@pytest.mark.parametrize("odd", [Quantiles(0.0, 10.0, 15.0), Quantiles(-1.0, -1.0, 2.0)])
def test_a_forecast_that_can_t_be_is_none(odd: Quantiles) -> None:
    found = transfers.of_measurement(moved(1, 10.0, forecast=odd))
    assert found.forecast is None
    assert not found.judged


def test_tests_are_forecast_by_what_was_before_them(engine: Engine) -> None:
    # after the twentieth the rate is half: the one that is first surprises, the last test's rate is as wrong
    rates = [8e8 * (1 + 0.01 * (n % 3)) for n in range(20)] + [4e8] * 10
    Archive(engine).add([throughput(n, rate) for n, rate in enumerate(rates)])
    found = backtest.read(engine, SINCE, UNTIL)
    assert [one.started for one in found] == [hours(n) for n in range(backtest.FIRST, 30)]
    broke = found[20 - backtest.FIRST]
    assert broke.log_error == pytest.approx(-0.7, abs=0.05)
    assert broke.naive_log_error == pytest.approx(-0.7, abs=0.05)
    assert not broke.inside
    assert abs(found[-1].log_error) < 0.02
    assert backtest.read(engine, hours(25), UNTIL) == found[-5:]
    assert backtest.read(engine, SINCE, UNTIL, {"c"}) == ()


def test_of_many_tests_an_even_choice_is_forecast() -> None:
    assert backtest.evenly(range(10), 4) == [0, 2, 5, 7]
    assert backtest.evenly(range(3), 4) == [0, 1, 2]
    assert backtest.replay(History.of([]), SINCE) == ()

"""Work on all processors: the same results in the same order, and errors come through."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from federation.errors import InputError, OutsideError
from reports.side_by_side import beside, side_by_side, uncollected


@pytest.mark.parametrize("few", [0, 10_000])
def test_results_come_in_order_however_many_do_the_work(few: int) -> None:
    shares: list[float] = []
    items = list(range(1003))
    found = side_by_side(lambda part: [one * 2 for one in part], items, few, shares.append)
    assert found == [2 * one for one in items]
    assert shares == sorted(shares)
    assert not shares or shares[-1] == 1.0


def test_an_error_in_a_part_is_raised() -> None:
    def fail(part: Sequence[int]) -> list[int]:
        raise InputError("part 7 is wrong")

    with pytest.raises(InputError, match="part 7 is wrong"):
        side_by_side(fail, list(range(100)), 0)


@pytest.mark.parametrize("alone", [True, False])
def test_work_beside_gives_its_result_and_its_error(alone: bool) -> None:
    with beside(lambda: [1, 2, 3], alone) as result:
        assert result() == [1, 2, 3]

    def fail() -> list[int]:
        raise InputError("nothing there")

    with beside(fail, alone) as result, pytest.raises(InputError, match="nothing there"):
        result()


def test_work_that_is_killed_is_told() -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with beside(die, False) as result, pytest.raises(OutsideError, match="ended from outside"):
        result()


def test_work_that_nobody_waits_for_is_ended() -> None:
    with beside(signal.pause, False):
        pass


# as in a command, which cleans up when it is ended; whatever comes in a child's way there, it is no second us
MANY = """
import os, signal, sys
from reports.side_by_side import beside, side_by_side

def leave(number, frame):
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, leave)
us = os.getpid()
try:
    for _ in range(300):
        with beside(signal.pause, False):
            pass
    side_by_side(lambda part: part, list(range(50)), 0)
finally:
    os.write(1, b"we" if os.getpid() == us else b"a copy")
"""


def test_a_child_that_is_ended_at_once_never_goes_on_as_a_copy_of_us() -> None:
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "we", "")


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_as_it_was_after_work_without_it(before: bool) -> None:
    def fail() -> None:
        with uncollected():
            assert not gc.isenabled()
            raise InputError("part 7 is wrong")

    was = gc.isenabled()
    (gc.enable if before else gc.disable)()
    try:
        with pytest.raises(InputError):
            fail()
        assert gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()

"""First come, first served; never more at a time than there are places."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.turns import Turns
from tests.waiting import until


@pytest.mark.parametrize("places", [1, 3])
def test_never_more_than_there_are_places(places: int) -> None:
    turns, inside, most = Turns(places), 0, 0
    lock = threading.Lock()

    def come() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns:
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0)
                with lock:
                    inside -= 1

    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(come) for _ in range(8)]:
            each.result(60)
    assert most <= places
    assert inside == 0


def test_who_came_first_is_served_first() -> None:
    turns = Turns(1)
    served: list[int] = []

    def come(number: int) -> None:
        with turns:
            served.append(number)

    threads = []
    with turns:
        for number in range(10):
            thread = threading.Thread(target=come, args=(number,))
            thread.start()
            threads.append(thread)
            until(lambda number=number: len(turns._waiting) > number, "its turn is waited for")
    for thread in threads:
        thread.join(60)
    assert served == list(range(10))


def test_a_place_is_given_back_after_a_failure() -> None:
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(KeyError), turns:
            raise KeyError

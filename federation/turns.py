"""Turns among threads, first come, first served."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A semaphore of `places` that nobody passes by: `with turns:` waits for all who came before.

    `threading.Semaphore` gives a place to whoever happens to run when it gets free, and who was woken for it
    waits anew: where many threads come again and again, some of them wait for ever.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            called = threading.Lock()
            called.acquire()
            self._waiting.append(called)
        called.acquire()  # until whoever leaves hands over the place

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

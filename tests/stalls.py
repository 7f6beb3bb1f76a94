"""Hold tests up at lines of their own or of the product, as a busy machine does, to find what hangs on speed.

`pytest -p tests.stalls --stall tests/ --stall-seed 3 ...` stops for a quarter of a second at every fourth
line that a test comes by in files below `tests/`; `--stall broker/,federation/` does it to the product
instead, as far as it runs in the process of the tests. The same seed stops at the same lines.
"""

from __future__ import annotations

import sys
import threading
import time
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

ROOT = f"{Path(__file__).parents[1]}/"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stalls")
    group.addoption("--stall", default="tests/", help="where: beginnings of paths, with commas")
    group.addoption("--stall-seed", default="0")
    group.addoption("--stall-share", type=float, default=0.25, help="of the lines, 0 to 1")
    group.addoption("--stall-seconds", type=float, default=0.25)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Stalls(config))


class Stalls:
    """Each line stops once a test."""

    def __init__(self, config: pytest.Config) -> None:
        self._below = tuple(ROOT + each for each in config.getoption("--stall").split(","))
        self._seed = config.getoption("--stall-seed")
        self._share = config.getoption("--stall-share")
        self._seconds = config.getoption("--stall-seconds")
        self._test = ""
        self._been: set[tuple[str, int]] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._test, self._been = item.nodeid, set()
        threading.settrace(self._calls)
        sys.settrace(self._calls)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)

    def _calls(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        return self._lines if file.startswith(self._below) and file != __file__ else None

    def _lines(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and place not in self._been:
            self._been.add(place)
            chosen = zlib.crc32(f"{self._seed} {self._test} {place}".encode()) / 2**32
            if chosen < self._share:
                time.sleep(self._seconds)
        return self._lines

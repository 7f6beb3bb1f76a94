"""The recorded week of the notebooks, opened once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fairlead
from tests.notebooks.running import NOTEBOOKS

DATA = NOTEBOOKS / "data"
END = "2026-01-12"


@pytest.fixture(scope="session")
def week() -> Iterator[fairlead.Fairlead]:
    with fairlead.open(DATA / "week.parquet", catalogue=DATA / "sites.toml", at=END) as opened:
        yield opened

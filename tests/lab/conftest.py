"""A lab of the tests' own: other namespaces, other directories than the one somebody may be using."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_commands import SMALL

from lab import lab


@pytest.fixture(scope="session")
def lab_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated files, made once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_lab(tmp_path: Path, lab_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place for a lab that isn't up yet; taken down at the end, whatever the test did to it."""
    monkeypatch.setenv("FAIRLEAD_LAB_NAME", f"t{os.getpid()}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(lab_cache))
    yield lab.state_dir()
    lab.down()


@pytest.fixture(scope="module")
def small_lab(tmp_path_factory: pytest.TempPathFactory, lab_cache: Path) -> Iterator[lab.Status]:
    """The small lab, up for the tests of one module, which leave it whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRLEAD_LAB_NAME", f"s{os.getpid()}")
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CACHE_HOME", str(lab_cache))
        try:
            yield lab.up(SMALL)
        finally:
            lab.down()

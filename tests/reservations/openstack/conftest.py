"""Sources and leases of the real cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from federation.clock import SystemClock
from federation.sites import Place, Site, Space
from reservations.sources import load_source

SITE = Site("perth", "Perth", Place(-31.95, 115.86))


@pytest.fixture
def source_of(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a source of the real cloud by the name of an entry of its clouds.yaml."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))

    def make(entry: str, source: str = "blazar", **options: Any) -> Any:
        return load_source(SITE, Space(source, {"cloud": entry, **options}), SystemClock())

    return make

"""A podman that takes long to tell of each image: however many there are, all of them have one limit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from broker.platforms import podman_store
from broker.platforms.podman_store import Images

IDS = ("a" * 64, "b" * 64, "c" * 64)
LISTED = [{"Id": each, "Names": [f"localhost/{each[0]}:1"]} for each in IDS]


class Slow:
    """podman, to which each image costs more than half of the time; and the clock."""

    def __init__(self) -> None:
        self.now, self.inspected = 1000.0, 0

    def monotonic(self) -> float:
        return self.now

    def __call__(self, *arguments: str) -> Sequence[str]:
        if arguments[0] == "images":
            return ["echo", json.dumps(LISTED)]
        self.inspected += 1
        self.now += 0.6 * podman_store.LAYERS_SECONDS
        return ["echo", f'{arguments[-1]} ["sha256:{arguments[-1]}"]']


def test_what_is_not_told_in_time_is_asked_for_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Slow()
    monkeypatch.setattr(podman_store, "time", SimpleNamespace(monotonic=engine.monotonic))
    monkeypatch.setattr(podman_store, "INSPECTED_AT_ONCE", 1)
    images = Images(engine, 10 * podman_store.LAYERS_SECONDS)
    assert images.has(["localhost/a:1"])
    assert images.layers() == {f"sha256:{each}" for each in IDS[:2]}
    assert engine.inspected == 2
    assert images.layers() == {f"sha256:{each}" for each in IDS}
    assert engine.inspected == 3

"""What a start that fails leaves in podman: nothing, though the engine still holds it for a moment."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from broker.platforms import PlatformError, podman_cli, podman_run
from netprobe.tools._process import Finished
from tests.contracts.platform_support import make_job, make_platform

IMAGE = {"Architecture": "amd64", "Id": "4" * 64, "RepoDigests": [], "Names": ["localhost/x:1"]}
REFUSED = "Error: crun: the program is not there\n"
HELD = "Error: removing container: device or resource busy\n"


class Engine:
    """A podman that has the image, starts nothing, and removes only when it is asked again."""

    def __init__(self, *removals: Finished) -> None:
        self.removals = list(removals)
        self.removed = 0

    async def __call__(self, command: list[str], limit: float, **more: Any) -> Finished:
        match [word for word in command if word in ("ps", "image", "run", "rm")]:
            case ["ps", *_]:
                return Finished(0, "[]", "", False)
            case ["image", *_]:
                return Finished(0, json.dumps([IMAGE]), "", False)
            case ["rm", *_]:
                self.removed += 1
                return self.removals.pop(0)
        return Finished(127, "", REFUSED, False)


@pytest.mark.parametrize(
    ("removals", "asked"),
    [
        ([Finished(2, "", HELD, False), Finished(0, "", "", False)], 2),
        ([Finished(1, "", "Error: the store is damaged\n", False)], 1),
    ],
)
def test_it_is_removed_and_why_it_failed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removals: list[Finished], asked: int
) -> None:
    engine = Engine(*removals)
    monkeypatch.setattr(podman_cli._process, "run", engine)
    monkeypatch.setattr(podman_run, "BUSY_PAUSES_SECONDS", (0.0,))
    job = make_job("localhost/x:1", "true")
    with pytest.raises(PlatformError, match="can't be started: crun: the program is not there"):
        asyncio.run(make_platform("podman", tmp_path).start(job))
    assert engine.removed == asked
    assert not engine.removals

"""What podman says of an image while others come and go."""

from __future__ import annotations

import asyncio
import json

import pytest

from broker.model import Executable
from broker.platforms import PlatformError
from broker.platforms.podman_images import find_image
from netprobe.tools._process import Finished

MEANT = Executable("x", ("localhost/x:1",))
# podman looks at all images to tell of one, and says then that it can't find the other
WENT = Finished(125, "", 'Error: locating image with ID "9": image not known\n', False)


class Engine:
    """A podman whose inspections end like this, one after the other, and which has the image."""

    def __init__(self, *inspections: Finished) -> None:
        self.inspections = list(inspections)

    async def __call__(
        self, *arguments: str, time_limit_seconds: float = 1.0, waits: bool = False
    ) -> Finished:
        if arguments[:2] == ("image", "exists"):
            return Finished(0, "", "", False)
        return self.inspections.pop(0) if len(self.inspections) > 1 else self.inspections[0]


def test_another_that_goes_meanwhile_is_no_failure() -> None:
    whole = Finished(0, json.dumps([{"Architecture": "amd64", "Id": "4", "RepoDigests": []}]), "", False)
    found = asyncio.run(find_image(MEANT, Engine(WENT, WENT, whole)))
    assert found is not None
    assert found["Id"] == "4"


def test_an_engine_that_says_so_for_ever_is_told() -> None:
    with pytest.raises(PlatformError, match=r"podman image inspect: .*image not known"):
        asyncio.run(find_image(MEANT, Engine(WENT)))

"""podman tells of its pulls: how long each took, and what was in place before."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.images.looking import Images
from broker.images.pulls import pull_seen
from broker.platforms import PlatformError, TellsPulls
from federation.clock import SystemClock
from tests.broker.images.real import RealRegistry, make_image, make_layer, real_registry, registries_file
from tests.broker.images.test_offers import remove_pulled
from tests.contracts.platform_support import make_job, make_platform

pytestmark = pytest.mark.podman


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    with real_registry(tmp_path / "registry") as running:
        yield running
        remove_pulled(running)


def test_each_pull_is_told_with_what_was_in_place_before(registry: RealRegistry, tmp_path: Path) -> None:
    # which nobody else has in this machine's store
    whose = uuid.uuid4().bytes
    common = make_layer({"common": b"x" * 5000, "of": whose})
    own = [make_layer({f"own{number}": bytes(2000), "of": whose}) for number in range(2)]
    first, second = (
        registry.push("a/tool", str(number), make_image(common, own[number])) for number in (0, 1)
    )
    options = {"registries_file": str(registries_file(tmp_path, registry.host)), "limits": "none"}
    platform = make_platform("podman", tmp_path / "work", options)
    assert isinstance(platform, TellsPulls)

    async def story() -> None:
        for number in (0, 0, 1):
            await platform.prepare(make_job(f"{registry.host}/a/tool:{number}"))
        with pytest.raises(PlatformError):
            await platform.prepare(make_job(f"{registry.host}/a/none:1"))

    asyncio.run(story())
    told = platform.pulled()
    assert [pulled.wanted.locations[0][-2:] for pulled in told] == [":0", ":1"]
    assert not platform.pulled()
    looked = Images(SystemClock()).look((each.wanted, each.access) for each in told)
    images = [looked[each.wanted, each.access].image for each in told]
    seen = [pull_seen("here", each, image) for each, image in zip(told, images, strict=True) if image]
    assert [each.layers for each in seen] == [2, 1]
    assert seen[0].size_bytes == first.size_bytes
    assert seen[1].size_bytes == second.size_bytes - len(common.content)
    assert all(0 < each.seconds < 600 for each in seen)

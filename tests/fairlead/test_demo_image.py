"""The demo's image is there for as long as one demo needs it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from fairlead.demo_image import borrow_checksum_image, build_checksum_image, has_checksum_image
from tests.broker.podman_support import an_image, podman, podman_of_its_own


@pytest.mark.podman
@pytest.mark.lab
def test_the_image_is_removed_unless_it_was_there_or_another_demo_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with podman_of_its_own(tmp_path / "own", monkeypatch):
        with ExitStack() as alone:
            borrow_checksum_image(alone)
            assert has_checksum_image()
        assert not has_checksum_image()

        with ExitStack() as other:
            with ExitStack() as maker:
                borrow_checksum_image(maker)
                borrow_checksum_image(other)
            assert has_checksum_image()

        build_checksum_image()
        with ExitStack() as guest:
            borrow_checksum_image(guest)
        assert has_checksum_image()


@pytest.mark.podman
def test_two_images_share_no_layer() -> None:
    """Podman removes one with its last image, also while another process makes an image of it."""
    with an_image() as one, an_image() as other:
        first, second = (
            set(json.loads(podman("image", "inspect", name))[0]["RootFS"]["Layers"]) for name in (one, other)
        )
    assert first
    assert not first & second

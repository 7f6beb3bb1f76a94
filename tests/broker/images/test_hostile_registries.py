"""Registries that anybody may name, and that mean ill: they take no thread, no memory, no page of words."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.images import ImageError, Wanted
from broker.images.documents import MOST_SAID, OCI_INDEX, OCI_MANIFEST, Index, read_config, read_manifest
from broker.images.looking import AT_ONCE, Images
from federation.clock import ManualClock
from tests.broker.conftest import NOW
from tests.broker.images.fake import IMAGE, fake_registry, serving
from tests.broker.images.real import access_to
from tests.federation.raw_server import raw_server


def test_registries_that_drip_keep_nobody_from_the_others(tmp_path: Path) -> None:
    """As many as are asked at once, each with headers that never end."""

    def play(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not ended.wait(0.05):
            connection.sendall(b"X: y\r\n")

    ended = threading.Event()
    with raw_server(play) as dripping, fake_registry(serving()) as registry:
        images = Images(ManualClock(NOW))
        slow = [(Wanted((f"{dripping}/a/{n}:1",)), access_to(tmp_path, dripping)) for n in range(AT_ONCE)]
        first, honest = (
            (Wanted((f"{registry.host}/a/{name}:1",)), access_to(tmp_path, registry.host))
            for name in ("first", "tool")
        )
        # the machine's authorities are read by then
        assert images.look([first])[first].image is not None
        assert all(each.image is None for each in images.look(slow, 2).values())
        looked = images.look([honest])[honest]
        ended.set()
    assert looked.image is not None
    assert looked.image.digest == IMAGE.manifest.digest


TEXTS = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
DIGEST = "sha256:" + "0" * 64
DESCRIPTOR = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from(["application/vnd.oci.image.config.v1+json", "x"]) | JSON,
        "digest": st.just(DIGEST) | JSON,
        "size": st.sampled_from([0, -1, 2**63, 10**400, 1.5]) | JSON,
        "platform": st.fixed_dictionaries({}, optional={"os": JSON, "architecture": JSON}) | JSON,
    },
)
MANIFEST = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([OCI_INDEX, OCI_MANIFEST]) | JSON,
        "manifests": st.lists(DESCRIPTOR | JSON, max_size=3) | JSON,
        "config": DESCRIPTOR | JSON,
        "layers": st.lists(DESCRIPTOR | JSON, max_size=3) | JSON,
    },
)


@settings(max_examples=300)
@given(MANIFEST | JSON)
def test_whatever_a_manifest_says_is_read_or_named(document: object) -> None:
    try:
        found = read_manifest(json.dumps(document).encode(), "here/a:1")
    except ImageError as problem:
        assert len(str(problem)) < 200  # noqa: PT017 - it need not be raised
        return
    if not isinstance(found, Index):
        assert all(0 <= size <= 10**15 for _, size in found.layers)


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "architecture": JSON,
            "os": JSON,
            "rootfs": st.fixed_dictionaries({}, optional={"diff_ids": JSON}) | JSON,
            "config": st.fixed_dictionaries(
                {}, optional=dict.fromkeys(("User", "Entrypoint", "Cmd", "Env"), JSON)
            )
            | JSON,
        },
    )
)
def test_whatever_a_configuration_says_is_read_or_named(document: object) -> None:
    try:
        read_config(json.dumps(document).encode(), "here/a:1")
    except ImageError as problem:
        assert len(str(problem)) < 200  # noqa: PT017 - it need not be raised


@pytest.mark.parametrize("name", ["User", "Entrypoint", "Cmd", "Env"])
def test_an_image_that_says_more_than_a_kernel_takes_is_not_kept(name: str) -> None:
    long = "x" * (MOST_SAID + 1)
    document = {"config": {name: long if name == "User" else [long]}}
    with pytest.raises(ImageError, match="the configuration can't be read"):
        read_config(json.dumps(document).encode(), "here/a:1")


def test_a_platform_s_name_is_as_long_as_one() -> None:
    entries = [
        {"digest": DIGEST, "platform": {"os": f"{number}{'x' * 1000}", "architecture": "y" * 1000}}
        for number in range(90)
    ]
    found = read_manifest(json.dumps({"manifests": entries}).encode(), "here/a:1")
    assert isinstance(found, Index)
    assert len(found.platforms) < 2000

"""What is known of podman's store while images come and go there: real podman, and one that stumbles."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence

import pytest

from broker.platforms.podman_cli import command
from broker.platforms.podman_store import Images
from tests.broker.images.real import Blob, make_layer
from tests.broker.podman_support import podman

pytestmark = pytest.mark.podman
ANOTHER_WENT = 'Error: reading image "ab": locating image with ID "ab": image not known'


@pytest.fixture
def add() -> Iterator[Callable[[str], Blob]]:
    """Puts an image of that name into the store, gone behind the test, and returns its one layer."""
    names = []

    def put(name: str) -> Blob:
        layer = make_layer({"x": uuid.uuid4().bytes})
        podman("import", "--quiet", "-", name, stdin=layer.content)
        names.append(name)
        return layer

    yield put
    podman("image", "rm", "--force", "--ignore", *names)


def a_name() -> str:
    return f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1"


class Stumbling:
    """podman, whose next `stumbles` commands fail as where an image that nobody asked for went meanwhile."""

    def __init__(self) -> None:
        self.stumbles, self.asked = 0, 0

    def __call__(self, *arguments: str) -> Sequence[str]:
        self.asked += 1
        if self.stumbles:
            self.stumbles -= 1
            return ["sh", "-c", f"echo '{ANOTHER_WENT}' >&2; exit 125"]
        return command(*arguments)


def test_an_image_that_went_hides_no_other(add: Callable[[str], Blob]) -> None:
    stays, goes = a_name(), a_name()
    layer, lost = add(stays), add(goes)
    engine = Stumbling()
    images = Images(engine)
    assert images.has([stays, goes])
    podman("image", "rm", goes)
    layers = images.layers()
    assert layer.diff_id in layers
    assert lost.diff_id not in layers
    # and nobody asks for it again
    before = engine.asked
    assert layer.diff_id in images.layers()
    assert engine.asked == before


def test_podman_is_asked_again_where_it_stumbles(add: Callable[[str], Blob]) -> None:
    name = a_name()
    layer = add(name)
    engine = Stumbling()
    images = Images(engine)
    engine.stumbles = 1
    assert images.has([name])
    engine.stumbles = 1
    assert layer.diff_id in images.layers()

"""Volume mounts: a data or storage resource at a path in the container."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Tag

from broker.contract import kinds
from broker.contract.common import Component, UnknownComponent
from broker.contract.wire import UNKNOWN, by_kind


class SimpleVolume(Component):
    path: str | None = None
    mode: Literal["READONLY", "READWRITE"] | None = None
    resource: str | None = None


Volume = Annotated[
    Annotated[SimpleVolume, Tag("kind:simple-volume-mount")] | Annotated[UnknownComponent, Tag(UNKNOWN)],
    by_kind({kinds.SIMPLE_VOLUME: "kind:simple-volume-mount"}),
]

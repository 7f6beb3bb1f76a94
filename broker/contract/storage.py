"""Storage resources: space at the site where the session runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from broker.contract import kinds
from broker.contract.common import LifecycleComponent, UnknownComponent
from broker.contract.compute import IntegerRange
from broker.contract.wire import UNKNOWN, by_kind


class SimpleStorage(LifecycleComponent):
    size: IntegerRange | None = None
    data: list[str] | None = None  # names or uuids of the data that goes here


Storage = Annotated[
    Annotated[SimpleStorage, Tag("kind:simple-storage-resource")] | Annotated[UnknownComponent, Tag(UNKNOWN)],
    by_kind({kinds.SIMPLE_STORAGE: "kind:simple-storage-resource"}),
]

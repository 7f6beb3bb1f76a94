"""Compute resources: cores and memory, and what is mounted there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from broker.contract import kinds
from broker.contract.common import LifecycleComponent, UnknownComponent
from broker.contract.volume import Volume
from broker.contract.wire import UNKNOWN, Int64, Wire, by_kind


class IntegerRange(Wire):
    """At least `min`, at most `max`: cores, GiB of memory, GiB of storage."""

    min: Int64 | None = None
    max: Int64 | None = None


class SimpleCompute(LifecycleComponent):
    cores: IntegerRange | None = None
    memory: IntegerRange | None = None
    volumes: list[Volume] | None = None


Compute = Annotated[
    Annotated[SimpleCompute, Tag("kind:simple-compute-resource")] | Annotated[UnknownComponent, Tag(UNKNOWN)],
    by_kind({kinds.SIMPLE_COMPUTE: "kind:simple-compute-resource"}),
]

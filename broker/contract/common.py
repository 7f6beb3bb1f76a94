"""What all components share: metadata, life cycle, and how one of several kinds is told from its `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from broker.contract.costs import CostList, MetricList
from broker.contract.messages import MessageItem
from broker.contract.options import Option
from broker.contract.wire import Kind, Wire, Xml


class Metadata(Wire):
    """ComponentMetadata. The broker fills all but name and description, whatever a client sends."""

    uuid: str | None = None
    name: str | None = None
    url: str | None = None
    description: str | None = None
    created: str | None = None
    modified: str | None = None
    messages: Annotated[list[Annotated[MessageItem, Xml("message")]], Xml("messages")] | None = None
    options: Annotated[list[Option], Xml("options")] | None = None


class StartDurationInstant(Wire):
    start: str | None = None
    duration: str | None = None


class StartDurationInterval(Wire):
    start: str | None = None
    duration: str | None = None


class Schedule(Wire):
    """LifecycleSchedule of a component, ScheduledExecutionSchedule of a session: they are the same."""

    preparing: StartDurationInstant | None = None
    available: StartDurationInterval | None = None
    releasing: StartDurationInstant | None = None


LifecyclePhase = Literal[
    "INITIALIZING",
    "WAITING",
    "PREPARING",
    "AVAILABLE",
    "RUNNING",
    "RELEASING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
]


class Component(Wire):
    """AbstractComponent."""

    kind: Kind
    meta: Metadata | None = None
    costs: CostList | None = None
    metrics: MetricList | None = None


class LifecycleComponent(Component):
    """A component that is prepared, used and released."""

    phase: LifecyclePhase | None = None
    schedule: Schedule | None = None


class UnknownComponent(Wire):
    """A component of a kind that nobody knows, or that isn't built yet: carried, to be refused."""

    kind: Kind
    meta: Metadata | None = None

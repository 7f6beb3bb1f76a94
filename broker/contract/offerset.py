"""Requests, and the sets of offers that answer them."""

from __future__ import annotations

from typing import Annotated, Literal

from broker.contract.common import Component
from broker.contract.compute import Compute
from broker.contract.costs import CostList, MetricList
from broker.contract.data import Data
from broker.contract.executable import Executable
from broker.contract.session import ScheduledSession
from broker.contract.storage import Storage
from broker.contract.wire import Wire, Xml, xml_root


class RequestedItem(Wire):
    """`duration` is an ISO 8601 duration, `start` an ISO 8601 interval in which the session must start."""

    duration: str | None = None
    start: str | None = None


class RequestedBlock(Wire):
    requested: RequestedItem | None = None


class ExecutionRequest(Wire):
    model_config = xml_root("offers-request")

    executable: Executable | None = None
    compute: Compute | None = None
    storage: list[Storage] | None = None
    data: list[Data] | None = None
    schedule: RequestedBlock | None = None
    costs: CostList | None = None
    metrics: MetricList | None = None


class OfferSetResponse(Component):
    model_config = xml_root("offers-response")

    result: Literal["YES", "NO"]
    description: str | None = None
    offers: (
        Annotated[list[Annotated[ScheduledSession, Xml("execution")]], Xml("offers", wrapped=True)] | None
    ) = None

"""Costs and metrics: limits in a request, figures on an offer. Both have the same shape under other kinds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from broker.contract import kinds
from broker.contract.wire import UNKNOWN, Float, Kind, Wire, Xml, by_kind


class AbstractItem(Wire):
    """A cost or metric that has a type and no figures, or whose kind isn't known."""

    kind: Kind
    type: str | None = None
    description: str | None = None


class MinMaxFloat(AbstractItem):
    """SimpleMinMaxFloatCost and SimpleMinMaxFloatMetric."""

    min: Float | None = None
    max: Float | None = None


Cost = Annotated[
    Annotated[MinMaxFloat, Tag("kind:cost")] | Annotated[AbstractItem, Tag(UNKNOWN)],
    by_kind({kinds.MINMAX_COST: "kind:cost"}),
]
Metric = Annotated[
    Annotated[MinMaxFloat, Tag("kind:metric")] | Annotated[AbstractItem, Tag(UNKNOWN)],
    by_kind({kinds.MINMAX_METRIC: "kind:metric"}),
]
CostList = Annotated[list[Annotated[Cost, Xml("cost")]], Xml("costs")]
MetricList = Annotated[list[Annotated[Metric, Xml("metric")]], Xml("metrics")]

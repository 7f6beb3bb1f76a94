"""CloudKitty: a budget that the operator names, less what was rated since it began.

    [sites.perth.credits]
    source = "cloudkitty"
    [sites.perth.credits.options]
    cloud = "perth"                      # as clouds.yaml calls it (OS_CLOUD, or the OS_* variables)
    name = "2026Q4"                      # required
    unit = "AUD"                         # required
    granted = 5000                       # required: CloudKitty knows no budgets
    start = 2026-10-01T00:00:00Z         # required, as is the end
    end = 2027-01-01T00:00:00Z
    per_hour = { VCPU = 0.02 }           # prices by class (from the flavours' ratings where visible)
    collect_period = "1h"                # what a rating of HashMap is for (1 h)
    project = "8a7a9248a0024f9dbca6e48d2824791d"  # whose budget it is unless a caller says: a project's id

What was spent is the rate of `GET /v2/summary`. Prices of flavours are those of the rating module HashMap:
the field `flavor_name` or `flavor_id` of its service `instance`, which administrators alone may read by
default.
CloudKitty rates afterwards and refuses nothing: what runs or is reserved but wasn't rated yet isn't in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from federation.about import About
from federation.clock import Clock
from federation.errors import OutsideError
from federation.sites import Credits, Site
from reservations.credits import Account, named_project
from reservations.openstack.connection import Cloud
from reservations.tables import Table

_HASHMAP = "/v1/rating/module_config/hashmap"
_FLAVOUR_FIELDS = ("flavor_name", "flavor_id", "flavor")
_NOT_YET = "what runs or is reserved but was not rated by CloudKitty yet is not in it, and nothing is refused"
_NO_PRICES = "the ratings of HashMap can't be read with these credentials: expected per_hour in the options"


@dataclass(frozen=True)
class _Options:
    cloud: Cloud
    name: str
    unit: str
    granted: float
    start: datetime
    end: datetime
    per_hour: Mapping[str, float]
    collect_period: timedelta
    project: str | None


@dataclass(frozen=True)
class CloudKitty:
    """The rating service of the cloud that the options name."""

    ABOUT = About(
        does="A budget less what CloudKitty has rated since it began.",
        cannot="CloudKitty rates afterwards, knows no budgets and refuses nothing.",
        modules=("openstack",),
        extra="openstack",
    )

    site: Site
    credits: Credits
    clock: Clock

    def __post_init__(self) -> None:
        self._options()

    def accounts(self, project: str | None = None) -> Sequence[Account]:
        options = self._options()
        wanted = named_project(project, options.project, f"[sites.{self.site.id}.credits.options]")
        spent = _spent(options, wanted)
        flavours, remarks = _flavours(options, wanted)
        if flavours is None:
            remarks = () if options.per_hour else (_NO_PRICES,)
        return (
            Account(
                name=options.name,
                unit=options.unit,
                left=max(options.granted - spent, 0.0),
                granted=options.granted,
                per_hour=options.per_hour,
                known_at=self.clock.now(),
                start=options.start,
                end=options.end,
                remarks=(_NOT_YET, *remarks),
                per_hour_of_flavour=flavours or {},
            ),
        )

    def _options(self) -> _Options:
        table = Table(self.credits.options, f"[sites.{self.site.id}.credits.options]")
        options = _Options(
            cloud=Cloud(table.text("cloud", None), table.where),
            name=table.text("name"),
            unit=table.text("unit"),
            granted=table.number("granted"),
            start=table.instant("start"),
            end=table.instant("end"),
            per_hour=table.prices("per_hour", {}),
            collect_period=table.duration("collect_period", timedelta(hours=1)),
            project=table.text("project", None),
        )
        table.end()
        if options.end <= options.start:
            raise table.bad("end", f"an instant after the start {options.start.isoformat()}")
        return options


def _spent(options: _Options, project: str) -> float:
    """What was rated within the budget's time. An answer without rows is that nothing was."""
    query = urlencode(
        {
            "begin": options.start.isoformat(),
            "end": options.end.isoformat(),
            "filters": f"project_id:{project}",
        }
    )
    answer = options.cloud.ask("rating", "GET", f"/v2/summary?{query}")
    body = answer.body
    if not answer.ok:
        raise OutsideError(f"CloudKitty of {options.cloud}: no summary: {answer.said}")
    columns, rows = _of(body, "columns", list), _of(body, "results", list)
    if not rows:
        return 0.0
    if "rate" not in columns:
        raise OutsideError(f"CloudKitty of {options.cloud}: expected a column 'rate' in its summary")
    place = columns.index("rate")
    try:
        return sum(float(row[place] or 0.0) for row in rows)
    except (TypeError, ValueError, IndexError):
        raise OutsideError(f"CloudKitty of {options.cloud}: expected numbers in the column 'rate'") from None


def _flavours(options: _Options, project: str) -> tuple[Mapping[str, float] | None, tuple[str, ...]]:
    """Prices of flavours by the hour, None where they are hidden; and what can't be told as such a price."""
    services = _listed(options, "services", "")
    if services is None:
        return None, ()
    service = next((each for each in services if each.get("name") == "instance"), None)
    if service is None:
        return {}, ()
    fields = _listed(options, "fields", f"?service_id={service.get('service_id')}") or ()
    hours = options.collect_period / timedelta(hours=1)
    prices: dict[str, float] = {}
    others = []
    for field in fields:
        if field.get("name") not in _FLAVOUR_FIELDS:
            others.append(str(field.get("name")))
            continue
        for mapping in _listed(options, "mappings", f"?field_id={field.get('field_id')}") or ():
            # a mapping may be for one project alone; a rate multiplies what others gave, and is no price
            if mapping.get("type") == "flat" and mapping.get("tenant_id") in (None, project):
                price = float(mapping.get("cost") or 0.0) / hours
                prices[str(mapping.get("value"))] = prices.get(str(mapping.get("value")), 0.0) + price
    said = f"instances are rated by {', '.join(others)} besides, which is not counted in advance"
    return prices, (said,) if others else ()


def _listed(options: _Options, what: str, query: str) -> Sequence[Mapping[str, Any]] | None:
    """A list of HashMap, None where it may not be read or is not there."""
    answer = options.cloud.ask("rating", "GET", f"{_HASHMAP}/{what}{query}")
    return _of(answer.body, what, list) if answer.ok else None


def _of(document: Any, key: str, kind: type) -> Any:
    found = document.get(key) if isinstance(document, Mapping) else None
    if not isinstance(found, kind):
        raise OutsideError(f"CloudKitty: expected {key!r} in its answer, got something else")
    return found

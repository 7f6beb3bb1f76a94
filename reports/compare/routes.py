"""The routes that traces found, whoever made them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from netprobe.archive_queries import bare
from netprobe.archive_rows import json_value
from netprobe.measurement import Kind
from netprobe.tables import measurements
from reports.compare.columns import seconds_of

_BATCH = 1000


def routes(
    engine: Engine, since: datetime, until: datetime, sites: Collection[str] | None
) -> dict[tuple[str, str], list[tuple[float, tuple[str, ...]]]]:
    """(time, routers) of each path, oldest first, between these sites (None: all)."""
    table = measurements.c
    query = (
        select(*bare(("source", "destination", "started", "raw")))
        .where(
            table.kind == Kind.PATH.value,
            table.error.is_(None),
            table.started >= since,
            table.started < until,
        )
        .order_by(table.source, table.destination, table.started, table.number)
    )
    if sites is not None:
        query = query.where(table.source.in_(sites), table.destination.in_(sites))
    found: dict[tuple[str, str], list[tuple[float, tuple[str, ...]]]] = defaultdict(list)
    with engine.connect().execution_options(yield_per=_BATCH) as connection:
        for source, destination, started, raw in connection.execute(query):
            if raw and (routers := route(json_value(raw))):
                found[source, destination].append((float(seconds_of([started])[0]), routers))
    return dict(found)


def route(raw: Any) -> tuple[str, ...]:
    """The routers of a raw document: of our traceroute, of a pScheduler's run, or of a perfSONAR archive.

    Those that keep silent are left out: that they do says nothing of the path.
    """
    document = raw if isinstance(raw, dict) else {}
    hops = document.get("hops") or document.get("json")
    if hops is None and isinstance(paths := document.get("paths"), list) and paths:
        hops = paths[0]
    found = []
    for hop in hops if isinstance(hops, list) else []:
        if isinstance(hop, dict):
            routers = hop.get("routers")
            first = routers[0] if isinstance(routers, list) and routers else hop
            address = first.get("address") or first.get("ip") if isinstance(first, dict) else None
            if isinstance(address, str):
                found.append(address)
    return tuple(found)

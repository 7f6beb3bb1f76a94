"""Whether a site can run a request at all, however empty it is."""

from __future__ import annotations

import math
from collections.abc import Iterable

from broker.model import DataItem, Level, Note, Request, StorageItem
from federation.sites import Platform, Site
from federation.units import format_seconds
from reservations.capacity import Capacity

GIB = 2**30
# what is assumed of data whose size nobody says
UNKNOWN_SIZE_BYTES = GIB


def largest(platform: Platform) -> Capacity:
    """The most that one session may have."""
    cores = platform.cores if platform.max_cores is None else min(platform.cores, platform.max_cores)
    memory, storage = platform.memory_gib, platform.storage_gib
    if platform.max_memory_gib is not None:
        memory = min(memory, platform.max_memory_gib)
    if platform.max_storage_gib is not None:
        storage = min(storage, platform.max_storage_gib)
    return Capacity(cores, memory, storage)


def pool(platform: Platform) -> Capacity:
    return Capacity(platform.cores, platform.memory_gib, platform.storage_gib)


def size_bytes(item: DataItem) -> int:
    return UNKNOWN_SIZE_BYTES if item.size_bytes is None else item.size_bytes


def need(request: Request) -> Capacity:
    """The least that the request asks for. Data takes room in the storage it goes to, or room of its own."""
    loose = gib(item for item in request.data if item.storage is None)
    storage = loose + sum(storage_gib(request, place) for place in request.storage)
    return Capacity(request.cores.minimum, request.memory_gib.minimum, storage)


def storage_gib(request: Request, place: StorageItem) -> int:
    """What one storage takes at least: what is asked for, or the data that goes there where that is more."""
    return max(place.size_gib.minimum, gib(item for item in request.data if item.storage == place.uuid))


def gib(items: Iterable[DataItem]) -> int:
    return math.ceil(sum(size_bytes(item) for item in items) / GIB)


def too_large(site: Site, platform: Platform, request: Request) -> list[Note]:
    """Why the request doesn't fit into the site even when nobody else is there; empty where it does."""
    asked, most = need(request), largest(platform)
    reasons: list[Note] = []
    parts = (
        ("cores", "cores", asked.cores, most.cores, "/compute/cores/min"),
        ("memory", "GiB of memory", asked.memory_gib, most.memory_gib, "/compute/memory/min"),
        ("storage", "GiB of storage", asked.storage_gib, most.storage_gib, "/storage"),
    )
    for resource, unit, wanted, limit, path in parts:
        if wanted > limit:
            text = "{site} has {limit} {unit} for one session, {wanted} are asked for"
            values = {"site": site.id, "resource": resource, "unit": _unit(unit, limit)}
            values |= {"wanted": str(wanted), "limit": str(limit)}
            reasons.append(Note("resource-limit", text, values, Level.ERROR, path))
    seconds = request.duration.total_seconds()
    if seconds > platform.max_duration_seconds:
        text = "{site} runs a session for {limit} at most, and {wanted} is asked for"
        values = {"site": site.id, "limit": format_seconds(platform.max_duration_seconds)}
        values["wanted"] = format_seconds(seconds)
        reasons.append(Note("duration-limit", text, values, Level.ERROR, "/schedule/requested/duration"))
    return reasons


def capped(site: Site, platform: Platform, request: Request) -> list[Note]:
    """A warning for each maximum that is more than the site gives to one session."""
    most = largest(platform)
    parts = [
        ("cores", request.cores.maximum, most.cores, "/compute/cores/max"),
        ("GiB of memory", request.memory_gib.maximum, most.memory_gib, "/compute/memory/max"),
        *(
            ("GiB of storage", place.size_gib.maximum, most.storage_gib, f"/storage/{position}/size/max")
            for position, place in enumerate(request.storage)
        ),
    ]
    text = "{site} gives {limit} {unit} to one session at most, so not the {wanted} that would be welcome"
    return [
        Note(
            "resource-limit",
            text,
            {"site": site.id, "limit": str(limit), "unit": _unit(unit, limit), "wanted": str(wanted)},
            Level.WARN,
            path,
        )
        for unit, wanted, limit, path in parts
        if wanted is not None and wanted > limit
    ]


def _unit(unit: str, number: int) -> str:
    return "core" if unit == "cores" and number == 1 else unit


def unknown_sizes(request: Request) -> list[Note]:
    """A warning for each data item whose size had to be assumed."""
    text = "1 GiB is assumed for the time to move {name} and the room it takes"
    return [
        Note("size-assumed", text, {"name": item.name}, Level.WARN, f"/data/{position}")
        for position, item in enumerate(request.data)
        if item.size_bytes is None
    ]

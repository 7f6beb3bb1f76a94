"""A federation of two sites, and what its catalogues say of a resource."""

from __future__ import annotations

from typing import Any

from broker.catalogues import Resolved, load_catalogues
from broker.model import Level
from federation.sites import Federation, Place, Site

FEDERATION = Federation(
    "test",
    {
        "north": Site("north", "North", Place(50, 0), rses=("NORTH-DISK",), data_hosts=("127.0.0.1:*",)),
        "south": Site("south", "South", Place(-50, 0), rses=("SOUTH-DISK",), data_hosts=("south.example",)),
    },
)
SHA256 = "ab" * 32


def resolve(kind: str, resource: dict[str, Any], online: bool = False) -> Resolved:
    catalogue = load_catalogues(FEDERATION, online)[kind]
    return catalogue.resolve("7a1b", "cube", resource, "/data/0")


def replica(url: str, rse: str | None = "SOUTH-DISK") -> dict[str, Any]:
    return {"rsename": rse, "dataurl": url}


def told(resolved: Resolved, level: Level) -> list[tuple[str | None, str]]:
    return [(note.path, note.text) for note in resolved.notes if note.level is level]

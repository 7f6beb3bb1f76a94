"""Servers that answer as coral-credits and CloudKitty do, for what can't be installed here.

coral-credits (Django; not on PyPI) after its own views and serializers as of May 2026: addresses, fields, the
Bearer token. CloudKitty 25 after its own API modules: the table of /v2/summary, and the lists of the rating
module HashMap. Both keep what they say in plain tables.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests import loopback
from tests.loopback import Asked, Said, said_json

TOKEN = "a-token-of-coral"


@dataclass
class Coral:
    """Accounts of projects, and their allocations: {class: (remaining, granted)}."""

    accounts: dict[int, str] = field(default_factory=dict)
    allocations: list[tuple[str, int, datetime, datetime, dict[str, tuple[float, float]]]] = field(
        default_factory=list
    )
    asked: list[str] = field(default_factory=list)

    def answer(self, base: str, path: str, token: str | None) -> tuple[int, Any]:
        self.asked.append(path)
        if token != f"Bearer {TOKEN}":
            return 401, {"detail": "Authentication credentials were not provided."}
        parts = path.strip("/").split("/")
        if parts == ["resource_provider_account"]:
            return 200, [self._account(base, number) for number in self.accounts]
        if parts == ["allocation"]:
            return 200, [self._allocation(base, number) for number in range(len(self.allocations))]
        if len(parts) == 3 and parts[0] == "allocation" and parts[2] == "resources":
            return 200, self._resources(base, int(parts[1]) - 1)
        return 404, {"detail": "Not found."}

    def _account(self, base: str, number: int) -> Mapping[str, Any]:
        address = f"{base}/resource_provider_account/{number}"
        account, provider = f"{base}/account/{number}", f"{base}/resource_provider/1"
        project = self.accounts[number]
        return {"id": number, "url": address, "account": account, "provider": provider, "project_id": project}

    def _allocation(self, base: str, number: int) -> Mapping[str, Any]:
        name, account, start, end, _ = self.allocations[number]
        return {
            "id": number + 1,
            "name": name,
            "created": "2026-05-01T00:00:00Z",
            "account": f"{base}/account/{account}",
            "start": start.isoformat().replace("+00:00", "Z"),
            "end": end.isoformat().replace("+00:00", "Z"),
        }

    def _resources(self, base: str, number: int) -> list[Mapping[str, Any]]:
        return [
            {
                "id": index,
                "resource_class": {"id": index, "url": f"{base}/resource_class/{index}", "name": name},
                "resource_hours": remaining,
                "allocated_resource_hours": granted,
            }
            for index, (name, (remaining, granted)) in enumerate(self.allocations[number][4].items(), 1)
        ]


@dataclass
class Kitty:
    """What was rated of which project (begin, rate), and the prices of flavours a period."""

    rated: dict[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    flavours: dict[str, float] = field(default_factory=dict)
    hidden: bool = False

    def answer(self, path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
        if path == "/v2/summary":
            return 200, self._summary(query)
        if self.hidden:
            return 403, {"error": "Policy doesn't allow rating:module_config to be performed."}
        what = path.rpartition("/")[2]
        if what == "services":
            return 200, {"services": [{"service_id": "s-1", "name": "instance"}]}
        if what == "fields":
            fields = [("f-1", "flavor_name"), ("f-2", "image_id")]
            return 200, {
                "fields": [{"field_id": each, "service_id": "s-1", "name": name} for each, name in fields]
            }
        if what == "mappings":
            mine = self.flavours if query.get("field_id") == ["f-1"] else {}
            mapping = {"type": "flat", "field_id": "f-1", "tenant_id": None}
            # decimals are texts in its JSON
            return 200, {
                "mappings": [{**mapping, "value": name, "cost": str(cost)} for name, cost in mine.items()]
            }
        return 404, {"error": "Not found"}

    def _summary(self, query: Mapping[str, list[str]]) -> Mapping[str, Any]:
        begin, end = (datetime.fromisoformat(query[name][0]) for name in ("begin", "end"))
        (project,) = [each.partition(":")[2] for each in query["filters"] if each.startswith("project_id:")]
        rates = [rate for at, rate in self.rated.get(project, []) if begin <= at < end]
        if not rates:
            return {"total": 0, "columns": [], "results": [], "format": "table"}
        row = [begin.isoformat(), end.isoformat(), float(len(rates)), sum(rates)]
        return {"total": 1, "columns": ["begin", "end", "qty", "rate"], "results": [row], "format": "table"}


@contextlib.contextmanager
def serving(service: Coral | Kitty) -> Iterator[str]:
    """Its address, on loopback."""

    def answer(asked: Asked) -> Said:
        if isinstance(service, Coral):
            base = f"http://{asked.headers['Host']}"
            status, document = service.answer(base, asked.path, asked.headers.get("Authorization"))
        else:
            status, document = service.answer(asked.path, asked.query)
        return said_json(document, status)

    with loopback.serving(answer) as server:
        yield server.origin


def clouds_yaml(directory: Path, rating: str) -> Path:
    """A clouds.yaml with the cloud "kitty", whose rating service is there and needs no token."""
    file = directory / "clouds.yaml"
    file.write_text(
        f"clouds:\n  kitty:\n    auth_type: none\n    auth: {{endpoint: {rating}}}\n"
        f"    rating_endpoint_override: {rating}\n"
    )
    return file

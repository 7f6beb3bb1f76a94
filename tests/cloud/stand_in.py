"""Nova's API of servers, in this process: for what a real cloud can't be made to do at a chosen moment.

Every answer has the form that the real one gives (`test_platform.py` holds the platform against that)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from federation.clock import Clock
from reservations.openstack.connection import Answer


class KilledError(BaseException):
    """The broker's process is gone."""


@dataclass
class StandIn:
    """`before` and `after` are called with each request, and may raise; `answers` go before its own, once.

    `on_halt` is what a server does that is told to halt.
    """

    clock: Clock
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    flavours: list[Mapping[str, Any]] = field(default_factory=list)
    consoles: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    most: int = 0
    before: Callable[[str], None] = lambda request: None
    after: Callable[[str], None] = lambda request: None
    answers: list[Answer] = field(default_factory=list)
    on_halt: Callable[[str], None] = lambda server_id: None
    created_as: str = "ACTIVE"
    page: int = 1000
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __str__(self) -> str:
        return "cloud 'stand-in'"

    def offers(self, service: str) -> bool:
        return service == "compute"

    def ask(
        self, service: str, method: str, path: str, body: Mapping[str, Any] | None = None, **more: Any
    ) -> Answer:
        parts = urlsplit(path)
        what = next(iter(body)) if body and parts.path.endswith("/action") else parts.path.rpartition("/")[2]
        request = f"{method} {what}"
        self.asked.append(request)
        self.before(request)
        answer = self.answers.pop(0) if self.answers else self._answer(method, path, body)
        self.after(request)
        return answer

    def there(self) -> list[str]:
        """Servers that aren't on their way out."""
        return [key for key, each in self.servers.items() if each["OS-EXT-STS:task_state"] is None]

    def create(self, asked: Mapping[str, Any]) -> str:
        server_id = f"server-{next(self._numbers)}"
        self.servers[server_id] = {
            "id": server_id,
            "name": asked["name"],
            "status": self.created_as,
            "metadata": asked["metadata"],
            "tags": asked.get("tags", []),
            "created": f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}",
            "OS-EXT-STS:task_state": None,
        }
        self.most = max(self.most, len(self.there()))
        return server_id

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        parts = urlsplit(path)
        names = parts.path.strip("/").split("/")
        if names == ["flavors", "detail"]:
            return Answer(200, {"flavors": self.flavours})
        if names == ["servers"]:
            assert body is not None
            self.bodies.append(body)
            return Answer(202, {"server": {"id": self.create(body["server"])}})
        if names == ["servers", "detail"]:
            asked_for = parse_qs(parts.query)
            if "tags" in asked_for:
                return self._tagged(asked_for)
            name = asked_for["name"][0].strip("^$").replace("\\", "")
            return Answer(200, {"servers": [each for each in self.servers.values() if each["name"] == name]})
        found = self.servers.get(names[1])
        if found is None:
            return Answer(
                404, {"itemNotFound": {"code": 404, "message": f"Instance {names[1]} could not be found."}}
            )
        if method == "GET":
            if found["OS-EXT-STS:task_state"] == "deleting":
                del self.servers[names[1]]
            return Answer(200, {"server": found})
        if method == "DELETE":
            found["OS-EXT-STS:task_state"] = "deleting"
            self.removed(names[1])
            return Answer(204, None)
        assert body is not None
        if "os-stop" in body:
            self.halt(names[1])
            return Answer(202, None)
        return Answer(200, {"output": self.console(names[1])})

    def _tagged(self, asked_for: Mapping[str, list[str]]) -> Answer:
        """A page of those that have the tag."""
        there = [each for each in self.servers.values() if asked_for["tags"][0] in each["tags"]]
        ids = [each["id"] for each in there]
        start = ids.index(asked_for["marker"][0]) + 1 if "marker" in asked_for else 0
        page = there[start : start + self.page]
        more = {"servers_links": [{"rel": "next", "href": "..."}]} if len(there) > start + self.page else {}
        return Answer(200, {"servers": page, **more})

    def console(self, server_id: str) -> str:
        return self.consoles.get(server_id, "")

    def halt(self, server_id: str) -> None:
        self.on_halt(server_id)

    def removed(self, server_id: str) -> None:
        """It does nothing any more."""

"""Nova, as far as sessions need it: a session's server is made, found, looked at and removed. Blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from broker.platforms import PlatformError, Unreachable
from federation.errors import InputError, OutsideError
from reservations.openstack.connection import Answer, Cloud
from reservations.openstack.flavours import Flavour
from reservations.openstack.nova import flavours
from reservations.openstack.said import meaning

T = TypeVar("T")
# networks may be "auto" or "none" since 2.37
VERSION = "2.61"
# what a server carries: whose it is, and the word that its reports are known by
SESSION, WORD = "fairlead_session", "fairlead_word"
# and what all servers of brokers carry, so that one question finds them
TAG = "fairlead"
BUSY, ABSENT = 409, 404
GONE = frozenset({"DELETED", "SOFT_DELETED"})


@dataclass(frozen=True)
class Server:
    """A session's server. `status` is Nova's word; `fault` what Nova says of one in ERROR."""

    id: str
    status: str
    created: datetime
    leaving: bool = False
    fault: str = ""
    word: str = ""


class Nova:
    """All calls raise Unreachable where the cloud can't be asked (as with credentials that are refused, for
    an operator may put those right), PlatformError where it says no."""

    def __init__(self, site_id: str, cloud: Cloud) -> None:
        self._site_id, self._cloud = site_id, cloud

    def create(self, body: Mapping[str, Any]) -> str:
        """Ask for a server; its id."""
        answer = self._checked(self._ask("POST", "/servers", body))
        return self._read(lambda: str(answer.body["server"]["id"]))

    def named(self, name: str, job_id: str) -> Sequence[Server]:
        """The session's servers, the oldest first; those that are being removed last."""
        query = urlencode({"name": f"^{re.escape(name)}$"})
        answer = self._checked(self._ask("GET", f"/servers/detail?{query}"))
        # the name is for people: anybody may call a server so
        found = self._read(
            lambda: [
                _server(each)
                for each in answer.body["servers"]
                if (each.get("metadata") or {}).get(SESSION) == job_id
            ]
        )
        there = [each for each in found if each.status not in GONE]
        return sorted(there, key=lambda each: (each.leaving, each.created, each.id))

    def tagged(self) -> Mapping[str, Server]:
        """The servers of all sessions, by id: of this broker, and of others in the same project."""
        found: dict[str, Server] = {}
        marker: str | None = None
        while True:
            query = urlencode({"tags": TAG, **({} if marker is None else {"marker": marker})})
            answer = self._checked(self._ask("GET", f"/servers/detail?{query}"))
            page = self._read(partial(_servers, answer))
            found |= {each.id: each for each in page}
            if not page or page[-1].id == marker or not answer.body.get("servers_links"):
                return {each.id: each for each in found.values() if each.status not in GONE}
            marker = page[-1].id

    def server(self, server_id: str) -> Server | None:
        answer = self._ask("GET", _path(server_id))
        if answer.status == ABSENT:
            return None
        self._checked(answer)
        found = self._read(lambda: _server(answer.body["server"]))
        return None if found.status in GONE else found

    def delete(self, server_id: str) -> None:
        """Gone already: does nothing. It is gone some seconds after."""
        answer = self._ask("DELETE", _path(server_id))
        if answer.status != ABSENT:
            self._checked(answer)

    def shut_down(self, server_id: str) -> None:
        """Have it end what runs on it, and halt. One that can't be told that: does nothing."""
        answer = self._ask("POST", f"{_path(server_id)}/action", {"os-stop": None})
        if answer.status not in (ABSENT, BUSY):
            self._checked(answer)

    def console(self, server_id: str) -> str | None:
        """What it wrote on its console; None where it has none (yet)."""
        answer = self._ask("POST", f"{_path(server_id)}/action", {"os-getConsoleOutput": {}})
        if answer.status in (ABSENT, BUSY):
            return None
        self._checked(answer)
        return self._read(lambda: str(answer.body["output"] or ""))

    def flavours(self) -> Mapping[str, Flavour]:
        """Those that the project may use, but for reserved ones."""
        try:
            found = flavours(self._cloud)
        except (InputError, OutsideError) as error:
            raise Unreachable(str(error)) from None
        if not found:
            raise PlatformError(f"site {self._site_id}: Nova of {self._cloud} shows no flavours")
        return found

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError):
            text = f"site {self._site_id}: what Nova of {self._cloud} answers can't be understood"
            raise Unreachable(text) from None

    def _checked(self, answer: Answer) -> Answer:
        if not answer.ok:
            raise PlatformError(f"site {self._site_id}: {meaning(answer.said, answer.status).text}")
        return answer

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        try:
            answer = self._cloud.ask("compute", method, path, body, version=VERSION)
        except (InputError, OutsideError) as error:
            raise Unreachable(str(error)) from None
        if answer.status >= 500 or answer.status == 429:
            raise Unreachable(f"site {self._site_id}: Nova of {self._cloud} fails: {answer.said}")
        return answer


def _path(server_id: str) -> str:
    return f"/servers/{quote(server_id, safe='')}"


def _servers(answer: Answer) -> list[Server]:
    return [_server(each) for each in answer.body["servers"]]


def _server(document: Mapping[str, Any]) -> Server:
    return Server(
        str(document["id"]),
        str(document["status"]),
        datetime.fromisoformat(str(document["created"]).replace("Z", "+00:00")),
        document.get("OS-EXT-STS:task_state") == "deleting",
        str((document.get("fault") or {}).get("message") or ""),
        str((document.get("metadata") or {}).get(WORD) or ""),
    )

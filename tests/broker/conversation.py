"""A conversation with a served broker over HTTP: ask, accept, change a phase, and wait for one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from fairlead.served import Served

# the same each time that a broker of the stories is started
PASSWORD = "correct-horse"


def asking(served: Served) -> httpx.Client:
    """A client that is signed in."""
    auth = (served.user, PASSWORD)
    return httpx.Client(base_url=served.url, auth=auth, follow_redirects=True, timeout=120)


def accept(owner: httpx.Client, document: Mapping[str, Any]) -> str:
    """The path of a session that was offered for `document`, and accepted."""
    answer = owner.post("/requests", json=document).json()
    assert answer["result"] == "YES", answer
    path = f"/sessions/{answer['offers'][0]['meta']['uuid']}"
    change(owner, path, "ACCEPTED")
    return path


def change(owner: httpx.Client, path: str, phase: str) -> None:
    update = {"kind": "uri:enum-value-update", "path": "phase", "value": phase}
    assert owner.post(path, json=update).status_code == 200


def until(owner: httpx.Client, path: str, *phases: str, seconds: float = 300) -> Any:
    """The session, as soon as it is in one of `phases`."""
    deadline = time.monotonic() + seconds
    while (session := owner.get(path).json())["phase"] not in phases:
        assert time.monotonic() < deadline, session
        time.sleep(0.1)
    return session

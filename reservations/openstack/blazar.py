"""Blazar's calls: leases, and for those who may see them, hosts and what is allocated on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.errors import OutsideError
from reservations.openstack.connection import Answer, Cloud

Document = Mapping[str, Any]


class SaidNoError(Exception):
    """Blazar refused: the status, and its own sentence."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


@dataclass(frozen=True)
class Hidden:
    """What this cloud doesn't show to this caller: the line of Blazar's policy that decides."""

    policy: str


class Blazar:
    """Blazar of one cloud. Blocks; raises as `Cloud.ask`, and SaidNoError for a refusal."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def leases(self) -> Sequence[Document]:
        """The project's leases, ended ones too; an administrator is told those of all projects."""
        answer = self._said_yes(self._ask("GET", "/leases"))
        leases: Sequence[Document] = answer.body["leases"]
        return leases

    def lease(self, lease_id: str) -> Document | None:
        """One lease; None where there is none (any more)."""
        answer = self._ask("GET", f"/leases/{lease_id}")
        if answer.status == 404:
            return None
        found: Document = self._said_yes(answer).body["lease"]
        return found

    def create(self, body: Document) -> Document:
        made: Document = self._said_yes(self._ask("POST", "/leases", body)).body["lease"]
        return made

    def update(self, lease_id: str, body: Document) -> Document:
        changed: Document = self._said_yes(self._ask("PUT", f"/leases/{lease_id}", body)).body["lease"]
        return changed

    def delete(self, lease_id: str) -> None:
        answer = self._ask("DELETE", f"/leases/{lease_id}")
        if answer.status != 404:
            self._said_yes(answer)

    def hosts(self) -> Sequence[Document] | Hidden:
        return self._seen("/os-hosts", "hosts", "blazar:oshosts:get")

    def allocations(self, lease_id: str | None = None) -> Sequence[Document] | Hidden:
        """Of each host the reservations that hold it from now on; an instance lease has one entry a slot."""
        query = f"?lease_id={lease_id}" if lease_id else ""
        return self._seen(f"/os-hosts/allocations{query}", "allocations", "blazar:oshosts:get_allocations")

    def _seen(self, path: str, key: str, policy: str) -> Sequence[Document] | Hidden:
        answer = self._ask("GET", path)
        if answer.status in (403, 404):
            return Hidden(policy)
        seen: Sequence[Document] = self._said_yes(answer).body[key]
        return seen

    def _ask(self, method: str, path: str, body: Document | None = None) -> Answer:
        return self.cloud.ask("reservation", method, path, body)

    def _said_yes(self, answer: Answer) -> Answer:
        if not answer.ok:
            raise SaidNoError(answer.status, answer.said)
        if answer.body is not None and not isinstance(answer.body, Mapping):
            raise OutsideError(f"Blazar of {self.cloud} answers with no JSON: {str(answer.body)[:80]!r}")
        return answer

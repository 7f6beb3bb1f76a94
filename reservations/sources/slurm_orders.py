"""The two ways to have a Slurm make advance reservations: `scontrol` on the site's host, or slurmrestd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from reservations.sources.slurm_asks import ByCommands, ByRest, Records
from reservations.sources.slurm_rest import SlurmRefusedError


@dataclass(frozen=True)
class Wanted:
    """A reservation to be made. `cores` None: its nodes, whole. Parts of a second are given away."""

    name: str
    start: datetime
    end: datetime
    users: str
    nodes: int
    cores: int | None
    partition: str | None


class DeniedError(Exception):
    """Slurm refuses; the text is its own words, in one line."""


class Orders(Protocol):
    """All raise OutsideError where nothing is known of the outcome, and the last three DeniedError."""

    def reservations(self) -> Records: ...

    def nodes(self) -> Records: ...

    def user(self) -> str:
        """Who asks: whom a reservation is for where nobody is named."""
        ...

    def create(self, wanted: Wanted) -> None:
        """One of that name that is there already is no failure."""
        ...

    def move_end(self, name: str, end: datetime) -> None: ...

    def delete(self, name: str) -> None: ...


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class CommandOrders(ByCommands):
    """`said` runs a command there, however it ends; it raises OutsideError where it doesn't."""

    said: Callable[..., Said]

    def user(self) -> str:
        return self.run("id", "-un").strip()

    def create(self, wanted: Wanted) -> None:
        words = [f"ReservationName={wanted.name}", f"StartTime={_time(wanted.start)}"]
        words += [f"EndTime={_time(wanted.end)}", f"Users={wanted.users}", f"NodeCnt={wanted.nodes}"]
        if wanted.cores is not None:
            words.append(f"CoreCnt={wanted.cores}")
        if wanted.partition is not None:
            words.append(f"PartitionName={wanted.partition}")
        try:
            self._order("create", "reservation", *words)
        except DeniedError as denied:
            if "duplicate" not in str(denied).lower():
                raise

    def move_end(self, name: str, end: datetime) -> None:
        self._order("update", f"ReservationName={name}", f"EndTime={_time(end)}")

    def delete(self, name: str) -> None:
        self._order("delete", f"ReservationName={name}")

    def _order(self, *words: str) -> None:
        said = self.said("scontrol", *words)
        if said.status != 0:
            lines = [line.strip() for line in said.stderr.splitlines() if line.strip()]
            last = lines[-1].removeprefix("Error creating the reservation: ") if lines else ""
            raise DeniedError(last[:300] or f"status {said.status}")


@dataclass(frozen=True)
class RestOrders(ByRest):
    """For versions since RESERVES_SINCE."""

    def user(self) -> str:
        return self.rest.user

    def create(self, wanted: Wanted) -> None:
        document: dict[str, Any] = {
            "name": wanted.name,
            "start_time": _instant(wanted.start),
            "end_time": _instant(wanted.end),
            "users": wanted.users.split(","),
            "node_count": _number(wanted.nodes),
        }
        if wanted.cores is not None:
            document["core_count"] = _number(wanted.cores)
        if wanted.partition is not None:
            document["partition"] = wanted.partition
        self._order(self.rest.reserve, document)

    def move_end(self, name: str, end: datetime) -> None:
        self._order(self.rest.reserve, {"name": name, "end_time": _instant(end)})

    def delete(self, name: str) -> None:
        self._order(self.rest.give_up, name)

    def _order(self, call: Callable[[Any], None], what: Any) -> None:
        try:
            call(what)
        except SlurmRefusedError as refused:
            raise DeniedError(refused.words) from refused


def _time(when: datetime) -> str:
    """As Slurm's commands take it where the time zone is UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def _instant(when: datetime) -> Mapping[str, Any]:
    return _number(int(when.timestamp()))


def _number(number: int) -> Mapping[str, Any]:
    return {"set": True, "infinite": False, "number": number}

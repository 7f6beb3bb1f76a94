"""The broker's dataclasses as JSON documents in the database, and back."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from broker.model import Connector, Note, Outcome, Placement, Request
from broker.records import TimedNote

_request: TypeAdapter[Request] = TypeAdapter(Request)
_placement: TypeAdapter[Placement] = TypeAdapter(Placement)
_connectors: TypeAdapter[tuple[Connector, ...]] = TypeAdapter(tuple[Connector, ...])
_outcome: TypeAdapter[Outcome] = TypeAdapter(Outcome)
_notes: TypeAdapter[tuple[Note, ...]] = TypeAdapter(tuple[Note, ...])
_timed_notes: TypeAdapter[tuple[TimedNote, ...]] = TypeAdapter(tuple[TimedNote, ...])


def dump_request(request: Request | None) -> Any:
    return None if request is None else _request.dump_python(request, mode="json")


def load_request(document: Any) -> Request | None:
    return None if document is None else _request.validate_python(document)


def dump_placement(placement: Placement | None) -> Any:
    return None if placement is None else _placement.dump_python(placement, mode="json")


def load_placement(document: Any) -> Placement | None:
    return None if document is None else _placement.validate_python(document)


def dump_notes(notes: tuple[Note, ...]) -> Any:
    return _notes.dump_python(notes, mode="json")


def load_notes(document: Any) -> tuple[Note, ...]:
    return _notes.validate_python(document)


def dump_timed_notes(notes: tuple[TimedNote, ...]) -> Any:
    return _timed_notes.dump_python(notes, mode="json")


def load_timed_notes(document: Any) -> tuple[TimedNote, ...]:
    return _timed_notes.validate_python(document)


def dump_connectors(connectors: tuple[Connector, ...]) -> Any:
    return _connectors.dump_python(connectors, mode="json")


def load_connectors(document: Any) -> tuple[Connector, ...]:
    return () if document is None else _connectors.validate_python(document)


def dump_outcome(outcome: Outcome | None) -> Any:
    return None if outcome is None else _outcome.dump_python(outcome, mode="json")


def load_outcome(document: Any) -> Outcome | None:
    return None if document is None else _outcome.validate_python(document)

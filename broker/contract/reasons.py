"""Collecting everything that is to be said about a request, instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.contract.wire import quote
from broker.model import Level, Note


@dataclass
class Reasons:
    """The notes so far, and whether one of them means NO."""

    notes: list[Note] = field(default_factory=list)
    refused: bool = False

    def no(self, kind: str, path: str, template: str, /, **values: object) -> None:
        """The request can't be done, for this reason. What the client wrote belongs into `values`."""
        self.refused = True
        self._add(Level.ERROR, kind, path, template, values)

    def warn(self, kind: str, path: str, template: str, /, **values: object) -> None:
        self._add(Level.WARN, kind, path, template, values)

    def info(self, kind: str, path: str, template: str, /, **values: object) -> None:
        self._add(Level.INFO, kind, path, template, values)

    def foreign_kind(self, what: str, kind: str, path: str, instead: str) -> None:
        """A component of a kind that nobody knows. `instead` would work."""
        template = "unknown kind of {what}: {kind}; {instead} would work"
        self.no("unknown-kind", path + "/kind", template, what=what, kind=quote(kind), instead=instead)

    def _add(self, level: Level, kind: str, path: str, template: str, values: Mapping[str, object]) -> None:
        texts = {name: str(value) for name, value in values.items()}
        self.notes.append(Note(kind=kind, template=template, values=texts, level=level, path=path))

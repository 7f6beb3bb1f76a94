"""Who is called what in a request: components refer to each other by name, or by the uuid that they gave."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from broker.contract.common import Component, UnknownComponent
from broker.contract.reasons import Reasons
from broker.contract.wire import quote


@dataclass
class Names:
    """The names of one family of resources. `used` are the uuids given out so far, in all families."""

    family: str
    used: set[str] = field(default_factory=set)
    known: dict[str, str] = field(default_factory=dict)  # name or client's uuid -> our uuid

    def add(
        self, component: Component | UnknownComponent, fallback: str, path: str, reasons: Reasons
    ) -> tuple[str, str]:
        """Our uuid and the name of a component; a second one of the same name or uuid is a NO.

        Our uuid is the client's own where it gave one that nothing else has.
        """
        meta = component.meta
        name = meta.name if meta and meta.name else self._free(fallback)
        asked = meta.uuid if meta and meta.uuid else None
        own = _canonical(asked)
        ours = own if own is not None and own not in self.used else str(uuid.uuid4())
        self.used.add(ours)
        for key, part in ((name, "name"), (own or asked, "uuid")):
            if key is None or (part == "uuid" and key == name):
                continue
            if key in self.known:
                template = "two {family} resources are called {name}"
                where = f"{path}/meta/{part}"
                reasons.no("duplicate-resource", where, template, family=self.family, name=quote(key))
            self.known[key] = ours
        return ours, name

    def find(self, reference: str) -> str | None:
        """Our uuid of what `reference` names; None where that is nothing."""
        return self.known.get(reference) or self.known.get(_canonical(reference) or reference)

    def _free(self, wanted: str) -> str:
        count, name = 1, wanted
        while name in self.known:
            count += 1
            name = f"{wanted}-{count}"
        return name


def _canonical(text: str | None) -> str | None:
    """A uuid as everybody writes it; None where `text` is none."""
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        return None

"""What the catalogues share in reading a resource, and in saying what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from broker.catalogues import MOST_BYTES
from broker.model import Level, Note

_DIGITS = re.compile(r"[0-9]{1,18}")


def note(kind: str, template: str, path: str, level: Level = Level.ERROR, **values: str) -> Note:
    return Note(kind, template, values, level, path)


def refused(notes: list[Note]) -> bool:
    """Whether one of `notes` means that there is no item."""
    return any(each.level is Level.ERROR for each in notes)


def block(resource: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object called `name`; an empty one where there is none."""
    found = resource.get(name)
    return found if isinstance(found, Mapping) else {}


def text(resource: Mapping[str, Any], name: str) -> str | None:
    """The text called `name`; None where there is none, or an empty one."""
    found = resource.get(name)
    return found if isinstance(found, str) and found else None


def size(resource: Mapping[str, Any], name: str, of: str, where: str, notes: list[Note]) -> int | None:
    """A number of bytes; None where it isn't said. One that is no such number is a note."""
    found = resource.get(name)
    if found is None:
        return None
    if type(found) is not int or not 0 <= found <= MOST_BYTES:
        template = "the {field} of {name} is {size}: expected a whole number of bytes, an exabyte at most"
        at, said = f"{where}/{name}", "too large" if type(found) is int and found > 0 else repr(found)[:80]
        notes.append(note("data-size", template, at, field=name, name=of, size=said))
        return None
    return found


def bytes_in(text: str) -> int | None:
    """The number of bytes that a server writes as text; None where that is no such number."""
    return int(text) if _DIGITS.fullmatch(text) else None


def one_file(resource: Mapping[str, Any], field: str, name: str, where: str, notes: list[Note]) -> None:
    """A note where `field` says that this is a collection of files: those are not brought here yet."""
    kind = resource.get(field) or "FILE"
    if kind != "FILE":
        template = "{name} is a {type}: only FILE can be brought here, so name each file"
        notes.append(note("data-type", template, f"{where}/{field}", name=name, type=str(kind)))


def unknown_size(name: str, where: str) -> Note:
    """Where nothing may be fetched."""
    template = "the size of {name} is not known: nothing is fetched here"
    return note("data-size", template, where, Level.WARN, name=name)

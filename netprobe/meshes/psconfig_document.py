"""A pSConfig template as one document: read from a file or a server, with what it includes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from federation.errors import FairleadError, InputError, one_line
from netprobe.meshes import Access
from netprobe.meshes.fetching import Fetcher
from netprobe.meshes.values import storable

SECTIONS = ("addresses", "address-classes", "archives", "contexts", "groups", "hosts", "schedules", "tests")
# the sections that every template must have somewhere, itself or in what it includes
REQUIRED = ("addresses", "groups", "tests", "tasks")
INCLUDES = 32
FILE_BYTES = 64 * 2**20


def pointer(*parts: str | int) -> str:
    """The JSON pointer (RFC 6901) to a place in a document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


@dataclass
class Template:
    """The sections of a template and its includes, and what is wrong in it, one line each."""

    place: str
    sections: dict[str, dict[str, Any]]
    problems: list[str] = field(default_factory=list)
    # the addresses of each class that was asked for, by name; None while they are being worked out
    classes: dict[str, tuple[str, ...] | None] = field(default_factory=dict)

    def problem(self, where: str, what: str) -> None:
        """Note what is wrong and where (a JSON pointer); the same twice is noted once."""
        # a name in it may have line breaks
        line = f"{repr(where)[1:-1]}: {what}"
        if line not in self.problems:
            self.problems.append(line)

    def entry(self, section: str, name: Any, where: str) -> Mapping[str, Any] | None:
        """The entry `name` of a section, as `where` refers to it; None, and a problem, if it isn't there."""
        found = self.sections[section].get(name) if isinstance(name, str) else None
        if found is None:
            self.problem(where, f"expected a name in {pointer(section)}, got {_shown(name)}")
        elif not isinstance(found, Mapping):
            self.problem(pointer(section, str(name)), f"expected an object, got {_shown(found)}")
        return found if isinstance(found, Mapping) else None


def load(place: str, access: Access | None = None) -> Template:
    """The template at `place`: the path of a file, or an http(s) URL, reached as `access` says.

    Included templates (URLs, or paths relative to the one that includes them) are read too, each once and at
    most 32; where two name the same entry, the one that includes wins. An include that can't be read is a
    problem of the template. Raises InputError where the template itself is none, OutsideError where its
    server doesn't give it.
    """
    top = _read(place, access or Access(place))
    template = Template(place, {name: {} for name in (*SECTIONS, "tasks")})
    seen, waiting = {_identity(place)}, [(place, top)]
    while waiting:
        where, document = waiting.pop(0)
        _merge(template, document, where)
        for number, include in enumerate(_includes(template, document)):
            at = pointer("includes", number) if where == place else f"{where}: {pointer('includes', number)}"
            target = _target(where, include)
            if target is None:
                template.problem(at, f"expected a URL (or a file, from a file), got {_shown(include)}")
            elif _identity(target) in seen:
                continue
            elif len(seen) > INCLUDES:
                template.problem(at, f"more than {INCLUDES} includes: the rest is left out")
                break
            else:
                seen.add(_identity(target))
                try:
                    # credentials are of the template's own server only
                    same = access is not None and _server(access.url) == _server(target)
                    how = replace(access, url=target) if same and access is not None else Access(target)
                    waiting.append((target, _read(target, how)))
                except FairleadError as error:
                    template.problem(at, str(error))
    for name in REQUIRED:
        if not template.sections[name]:
            template.problem(pointer(name), "expected at least one entry, got nothing")
    return template


def _server(url: str) -> tuple[str, str]:
    """The scheme counts: a password isn't sent in the clear because an include says http."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _merge(template: Template, document: Mapping[str, Any], where: str) -> None:
    prefix = "" if where == template.place else f"{where}: "
    for name, entries in template.sections.items():
        found = document.get(name, {})
        if not isinstance(found, Mapping):
            template.problem(prefix + pointer(name), f"expected an object, got {_shown(found)}")
            continue
        for key, entry in found.items():
            entries.setdefault(key, entry)


def _includes(template: Template, document: Mapping[str, Any]) -> list[Any]:
    found = document.get("includes", [])
    if not isinstance(found, list):
        template.problem(pointer("includes"), f"expected a list, got {_shown(found)}")
        return []
    return found


def _target(where: str, include: Any) -> str | None:
    """Where an include is. A template from a server reads no files of this machine."""
    if not isinstance(include, str) or not include.strip():
        return None
    if _is_url(where):
        target = urljoin(where, include)
        return target if _is_url(target) else None
    if _is_url(include):
        return include
    parts = urlsplit(include)
    if parts.scheme not in ("", "file"):
        return None
    return str(Path(where).parent / unquote(parts.path))


def _is_url(place: str) -> bool:
    return urlsplit(place).scheme in ("http", "https")


def _identity(place: str) -> str:
    return place if _is_url(place) else str(Path(place).resolve())


def _read(place: str, access: Access) -> Mapping[str, Any]:
    if _is_url(place):
        with Fetcher(access) as fetcher:
            document = fetcher.json(place)
    else:
        document = _read_file(Path(place))
    if not isinstance(document, Mapping):
        raise InputError(f"{place}: expected a pSConfig template (an object), got {_shown(document)}")
    # what is nested deeper than any template is cut off
    found: Mapping[str, Any] = storable(document)
    return found


def _read_file(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: can't be read ({reason}): expected a pSConfig template") from None
    if len(text) > FILE_BYTES:
        raise InputError(f"{path}: expected a template of at most {FILE_BYTES // 2**20} MiB")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON: {one_line(error)[:200]}") from None


def _shown(value: Any) -> str:
    """A value in a message: short, in one line."""
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."

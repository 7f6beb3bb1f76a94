"""Bytes to plain documents and back: JSON and YAML (`xml` has XML). What can't be read raises Malformed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from federation.errors import one_line

# what a request may be at most, in bytes, and how deep; the contract's own documents are 8 deep
BODY_LIMIT = 1024 * 1024
DEPTH_LIMIT = 64


@dataclass(frozen=True)
class Fault:
    """What is wrong with a document, and where: `path` is a JSON Pointer, "" for the whole."""

    error: str
    path: str


class Malformed(Exception):  # noqa: N818 - what the document is
    """A document that can't be understood at all, with everything that is wrong with it."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{fault.path or 'document'}: {fault.error}" for fault in faults))


def pointer(parts: Sequence[str | int]) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def read_json(body: bytes) -> Any:
    """The document in `body`. Raises Malformed."""
    text = utf8(body)
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise Malformed(Fault(f"not JSON: {error.msg} at {at}", "")) from None
    except RecursionError:
        raise Malformed(Fault(f"nested deeper than {DEPTH_LIMIT}", "")) from None
    except ValueError as error:
        raise Malformed(Fault(f"not JSON that can be read: {error}", "")) from None
    return plain(found)


def write_json(document: Any) -> bytes:
    return json.dumps(document, allow_nan=False).encode()


# libyaml where PyYAML was built with it: the pure Python scanner takes seconds for a megabyte
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_Safe):  # type: ignore[misc]
    """YAML 1.2's core types: a `no` stays a text, as do dates and `12:30`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, Any]]] = {}  # noqa: RUF012 - PyYAML's own name and shape


class _Dumper(_SafeDumper):  # type: ignore[misc]
    """Puts into quotes what either YAML 1.1 (PyYAML's own) or 1.2 would take for something else."""


def _resolve(tag: str, pattern: str, first: str) -> None:
    for each in (_Loader, _Dumper):
        each.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile(pattern), list(first))


_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN")
_Loader.yaml_implicit_resolvers.setdefault("", []).extend(_Loader.yaml_implicit_resolvers["~"][:1])
_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789")
_resolve(
    "float",
    r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$",
    "-+.0123456789",
)


def read_yaml(body: bytes) -> Any:
    """The document in `body`. Aliases are refused: a few can stand for gigabytes. Raises Malformed."""
    text = utf8(body)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Safe):
            if isinstance(event, yaml.AliasEvent):
                raise Malformed(Fault(f"YAML aliases are not accepted, such as *{event.anchor}", ""))
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH_LIMIT:
                    raise Malformed(Fault(f"nested deeper than {DEPTH_LIMIT}", ""))
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        found = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise Malformed(Fault(f"not YAML: {error.problem or error.context}{at}", "")) from None
    except yaml.YAMLError as error:
        raise Malformed(Fault(f"not YAML: {one_line(error)}", "")) from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # a scalar under a tag that it doesn't fit (`!!int x`): the constructors raise what they trip over
        raise Malformed(Fault(f"a value that doesn't fit its YAML tag: {error}", "")) from None
    return plain(found)


def write_yaml(document: Any) -> bytes:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text.encode()


@dataclass(frozen=True)
class Codec:
    """One way of writing documents; `media_types` are those that it goes by, the first the preferred one."""

    name: str
    media_types: tuple[str, ...]
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


JSON = Codec("JSON", ("application/json", "text/json"), read_json, write_json)
YAML = Codec(
    "YAML", ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"), read_yaml, write_yaml
)


def utf8(body: bytes) -> str:
    """The text of `body`. Raises Malformed."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(Fault(f"not UTF-8: byte {error.start} is 0x{body[error.start]:02x}", "")) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def plain(document: Any) -> Any:
    """`document` again where it holds JSON's types, and texts that any database takes; else Malformed."""
    faults: list[Fault] = []
    _walk(document, (), faults)
    if faults:
        raise Malformed(*faults[:20])
    return document


def _walk(value: Any, path: tuple[str | int, ...], faults: list[Fault]) -> None:
    if len(path) > DEPTH_LIMIT:
        faults.append(Fault(f"nested deeper than {DEPTH_LIMIT}", pointer(path[:4])))
    elif isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            faults.append(Fault("a text with a NUL character or half a surrogate pair", pointer(path)))
    elif isinstance(value, float):
        if not math.isfinite(value):
            faults.append(Fault("not a finite number", pointer(path)))
    elif isinstance(value, Mapping):
        for name, member in value.items():
            if not isinstance(name, str):
                faults.append(Fault(f"the name {name!r} is not a text", pointer(path)))
                continue
            _walk(name, (*path, name), faults)
            _walk(member, (*path, name), faults)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _walk(member, (*path, index), faults)
    elif value is not None and not isinstance(value, bool | int):
        faults.append(Fault(f"a {type(value).__name__} is no JSON value", pointer(path)))

"""Documents as XML and back, as OpenAPI's `xml` entries in the contract have it.

A property is an element under its name, or an attribute where the contract says so; a list repeats an
element under its items' name, in an element of its own where it is wrapped; a map has an element for each
key (what is no XML name is escaped, see `xml_names`). XML tells neither numbers from texts nor lists of one
from values: the models say which it is. Reading is wider than writing: an attribute may come as an element
and an element as an attribute, a list wrapped or not, and items under the list's own name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from broker.contract import kinds
from broker.contract.codec import Codec, Fault, Malformed, plain, pointer
from broker.contract.compute import Compute
from broker.contract.data import Data
from broker.contract.executable import Executable
from broker.contract.offerset import ExecutionRequest, OfferSetResponse
from broker.contract.options import Update
from broker.contract.session import ScheduledSession
from broker.contract.storage import Storage
from broker.contract.volume import Volume
from broker.contract.xml_elements import Element, parse, serialise
from broker.contract.xml_names import from_name, to_name
from broker.contract.xml_shapes import (
    Anything,
    Choice,
    Items,
    Map,
    Property,
    Record,
    Scalar,
    Shape,
    record_of,
    shape_of,
)

_ANYTHING = Anything()
_UPDATE = shape_of(Update)
# the roots that are read, without case and hyphens: the contract's own, or what a client calls its class
_ROOTS: Mapping[str, Shape] = {
    "offersrequest": record_of(ExecutionRequest),
    "executionrequest": record_of(ExecutionRequest),
    "offersresponse": record_of(OfferSetResponse),
    "offersetresponse": record_of(OfferSetResponse),
    "execution": record_of(ScheduledSession),
    "scheduledexecutionsession": record_of(ScheduledSession),
    **{f"{word}update": _UPDATE for word in ("", "abstract", "enumvalue", "stringvalue")},
    **{f"{word}update": _UPDATE for word in ("integervalue", "integerdelta")},
    "identity": _ANYTHING,
    "newidentity": _ANYTHING,
}
# parts of a session as documents of their own, under the name that they have in it
_PARTS: Mapping[str, Choice] = {
    name: shape
    for name, kind in (
        ("executable", Executable),
        ("compute", Compute),
        ("storage", Storage),
        ("data", Data),
        ("volumes", Volume),
    )
    if isinstance(shape := shape_of(kind), Choice)
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}

Path = tuple[str | int, ...]


def read_xml(body: bytes) -> Any:
    """The document in `body`. Raises Malformed with the line, or with the place in the document."""
    root = parse(body)
    shape = _ROOTS.get(root.tag.lower().replace("-", "").replace("_", ""))
    if shape is None:
        known = "<offers-request>, <enum-value-update> and <identity>"
        raise Malformed(Fault(f"<{root.tag[:80]}> is no document that is read here: {known} are", ""))
    return plain(_value(root, shape, ()))


def write_xml(document: Any, model: type[BaseModel] | None = None) -> bytes:
    """`document` as `model` describes it; without one, as its `kind` says, or else as it is.

    Nulls are left out, and so are empty lists and maps: XML has no word for them.
    """
    shape: Shape
    if model is not None:
        shape = record_of(model)
        name = shape.title
    else:
        name, shape = _described(document)
    return serialise(_element(name, document, shape))


XML = Codec("XML", ("application/xml", "text/xml"), read_xml, write_xml)


def _described(document: Any) -> tuple[str, Shape]:
    """The name of the root element for `document`, and what is known of its shape."""
    members = document if isinstance(document, Mapping) else {}
    kind = members.get("kind")
    for known, model in ((kinds.OFFERSET, OfferSetResponse), (kinds.SCHEDULED_SESSION, ScheduledSession)):
        if kind == known:
            record = record_of(model)
            return record.title, record
    for name, choice in _PARTS.items():
        if choice.choose(members) in choice.known:
            return name, choice
    return "error" if "error" in members else "document", _ANYTHING


# --- writing ---------------------------------------------------------------------------------------------


def _element(name: str, value: Any, shape: Shape) -> Element:
    element = Element(name)
    if isinstance(value, Mapping):
        if isinstance(shape, Anything):
            shape = _described(value)[1]
        if isinstance(shape, Choice):
            shape = shape.choose(value) or _ANYTHING
        properties = shape.properties if isinstance(shape, Record) else {}
        for key, member in value.items():
            known = properties.get(key) or Property(to_name(key), _ANYTHING, False)
            if known.attribute and isinstance(member, str):
                element.attributes[known.name] = member
            else:
                element.children += _elements(known, member)
    elif isinstance(value, list):  # a list in a list, which the contract has none of
        element.children = _elements(Property("item", _ANYTHING, False), value)
    else:
        element.text = _text(value)
    return element


def _elements(known: Property, value: Any) -> list[Element]:
    """The elements of a property: one, or as many as the list has items."""
    if value is None:
        return []
    if not isinstance(value, list):
        return [_element(known.name, value, known.shape)]
    items = known.shape if isinstance(known.shape, Items) else Items(_ANYTHING, None, None, False)
    name = items.item_name or known.name
    found = [_element(name, item, items.item) for item in value if item is not None]
    return [Element(known.name, children=found)] if items.wrapped else found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


# --- reading ---------------------------------------------------------------------------------------------


def _value(element: Element, shape: Shape, path: Path) -> Any:
    if element.nil:
        return None
    if isinstance(shape, Choice):
        shape = shape.choose({"kind": _kind(element)}) or _ANYTHING
    if isinstance(shape, Scalar) and element.bare:
        return _scalar(element.text, shape)
    if isinstance(shape, Anything) and element.bare:
        return element.text
    if element.text.strip():
        if element.bare:
            return element.text  # no object: the model says what it expected here
        raise Malformed(
            Fault(f"text beside attributes, in <{element.tag}> at line {element.line}", pointer(path))
        )
    return _members(element, shape, path)


def _members(element: Element, shape: Shape, path: Path) -> dict[str, Any]:
    """The object that an element's attributes and children make. Raises Malformed where one comes twice."""
    keys = _keys(shape) if isinstance(shape, Record) else {}
    properties = shape.properties if isinstance(shape, Record) else {}
    found: dict[str, Any] = {}
    several: set[str] = set()
    attributes = [Element(name, text=value, line=element.line) for name, value in element.attributes.items()]
    for child in (*attributes, *element.children):
        key = keys.get(child.tag) or from_name(child.tag)
        known = properties.get(key)
        if known is not None and isinstance(known.shape, Items):
            items = found.setdefault(key, [])
            items += _items(child, known, key, (*path, key), len(items))
        elif key not in found:
            found[key] = _value(child, known.shape if known else _ANYTHING, (*path, key))
        elif known is not None or isinstance(shape, Map):
            raise Malformed(
                Fault(f"<{child.tag}> comes a second time at line {child.line}", pointer((*path, key)))
            )
        else:
            # nothing is known of it, but that there are several
            if key not in several:
                several.add(key)
                found[key] = [found[key]]
            found[key].append(_value(child, _ANYTHING, (*path, key, len(found[key]))))
    return found


def _items(element: Element, known: Property, key: str, path: Path, first: int) -> list[Any]:
    """The items that one element stands for: itself, or those in it where it is a wrapper."""
    assert isinstance(known.shape, Items)
    items = known.shape
    names = {known.name, key, items.item_name}
    wrapper = element.tag != items.item_name and not element.attributes
    if not items.wrapped:
        # an item may have a property of the list's name: its text, where a wrapped item is more than that
        plain_items = isinstance(items.item, Scalar)
        inner = [child.tag in names and (plain_items or not child.bare) for child in element.children]
        wrapper = wrapper and bool(inner) and all(inner)
    if not wrapper:
        return [_value(element, items.item, (*path, first))]
    found = []
    for index, child in enumerate(element.children, first):
        if child.tag not in names:
            said = f"<{child.tag[:80]}> at line {child.line}: expected <{items.item_name or known.name}>"
            raise Malformed(Fault(said, pointer((*path, index))))
        found.append(_value(child, items.item, (*path, index)))
    return found


def _keys(record: Record) -> dict[str, str]:
    """The keys of a record by the names of the elements under which they may come."""
    found: dict[str, str] = {}
    for key, known in record.properties.items():
        item_name = known.shape.item_name if isinstance(known.shape, Items) else None
        for name in (known.name, item_name, key):
            if name is not None:
                found.setdefault(name, key)
    return found


def _kind(element: Element) -> str | None:
    """What chooses among several records: an attribute, or an element for clients that know no attributes."""
    inner = (child.text for child in element.children if child.tag == "kind")
    return element.attributes.get("kind") or next(inner, None)


def _scalar(text: str, shape: Scalar) -> Any:
    """The value of a text; what isn't of the type stays a text, for the model to say what it expected."""
    word = text.strip()
    if shape.type == "boolean":
        return _BOOLEANS.get(word, text)
    if shape.type in ("integer", "number"):
        if _INTEGER.fullmatch(word):
            return int(word)
        if _NUMBER.fullmatch(word) and math.isfinite(float(word)):
            return float(word)
    return text

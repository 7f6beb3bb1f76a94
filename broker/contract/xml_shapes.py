"""What the models say of a document's shape: XML has neither types nor lists of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, Tag
from pydantic.fields import FieldInfo

from broker.contract.wire import UNKNOWN, Xml


@dataclass(frozen=True)
class Scalar:
    type: Literal["text", "integer", "number", "boolean"]


@dataclass(frozen=True)
class Items:
    """A list. `name` is the list's own in its `xml` entry, `item_name` that of the entry of its items."""

    item: Shape
    name: str | None
    item_name: str | None
    wrapped: bool


@dataclass(frozen=True)
class Map:
    """Texts by any name."""


@dataclass(frozen=True)
class Anything:
    """What no model describes: texts, and members that are repeated are lists."""


@dataclass(frozen=True)
class Property:
    """A member of a record: `name` is the name of its element or attribute."""

    name: str
    shape: Shape
    attribute: bool


@dataclass(frozen=True, eq=False)
class Record:
    """An object with properties by their key in the document."""

    title: str
    properties: Mapping[str, Property]


@dataclass(frozen=True, eq=False)
class Choice:
    """One of several records, by `kind`; None where no alternative takes that kind."""

    choose: Callable[[Any], Record | None]
    known: frozenset[Record]  # without the alternative for what nobody knows


Shape = Scalar | Items | Map | Anything | Record | Choice

_SCALARS: Mapping[Any, Scalar] = {
    bool: Scalar("boolean"),
    int: Scalar("integer"),
    float: Scalar("number"),
}
TEXT = Scalar("text")


@cache
def record_of(model: type[BaseModel]) -> Record:
    """The record that `model` describes; its title is the name of its element as a document of its own."""
    extra = model.model_config.get("json_schema_extra")
    said = extra.get("xml") if isinstance(extra, dict) else None
    title = said.get("name") if isinstance(said, dict) else None
    properties = {}
    for key, info in model.model_fields.items():
        marks = (*info.metadata, info)
        xml = _xml(marks)
        properties[key] = Property(xml.name or key, shape_of(info.annotation, marks), xml.attribute)
    return Record(title if isinstance(title, str) else model.__name__, properties)


def shape_of(annotation: Any, marks: Iterable[Any] = ()) -> Shape:
    """The shape of a value of the type `annotation`; `marks` are what stands beside it in its `Annotated`."""
    marks = tuple(marks)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0], (*marks, *arguments[1:]))
    if origin in (Union, UnionType):
        options = [option for option in arguments if option is not NoneType]
        return shape_of(options[0], marks) if len(options) == 1 else _choice(options, marks)
    if origin is list:
        xml, item = _xml(marks), _xml(get_args(arguments[0])[1:])
        return Items(shape_of(arguments[0]), xml.name, item.name, xml.wrapped)
    if origin is dict:
        return Map() if arguments[1] is str else Anything()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return record_of(annotation)
    return Anything() if annotation is Any else _SCALARS.get(annotation, TEXT)


def _choice(options: list[Any], marks: tuple[Any, ...]) -> Choice | Anything:
    for mark in marks:
        by = mark.discriminator if isinstance(mark, FieldInfo | Discriminator) else None
        if isinstance(by, Discriminator):
            by = by.discriminator
        if callable(by):
            return _by_tag(options, by)
        if isinstance(by, str):
            return _by_literal(options, by)
    return Anything()


def _by_tag(options: list[Any], choose: Callable[[Any], Any]) -> Choice:
    records: dict[str, Record] = {}
    for option in options:
        model, *marks = get_args(option)
        records[next(mark.tag for mark in marks if isinstance(mark, Tag))] = record_of(model)
    known = frozenset(record for tag, record in records.items() if tag != UNKNOWN)
    return Choice(lambda value: records.get(choose(value)), known)


def _by_literal(options: list[Any], name: str) -> Choice:
    records = {
        literal: record_of(model)
        for model in options
        for literal in get_args(model.model_fields[name].annotation)
    }
    return Choice(lambda value: records.get(value.get(name)), frozenset(records.values()))


def _xml(marks: Iterable[Any]) -> Xml:
    return next((mark for mark in marks if isinstance(mark, Xml)), Xml())

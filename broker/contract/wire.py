"""The base of all models of the wire: strict types, exact names; what isn't known is kept to be told of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

# marks the alternatives of a union in pydantic's error locations, so that paths can be cleaned of them
TAG = "kind:"
UNKNOWN = TAG + "unknown"


class Wire(BaseModel):
    """A document or a part of one. `model_extra` holds the properties that the contract doesn't know."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


@dataclass(frozen=True)
class Xml:
    """What OpenAPI's `xml` entry says of a property, a list or a list's items; it is in our OpenAPI too.

    Where nothing is said, a property is an element under its own name, and a list repeats that element.
    """

    name: str | None = None
    attribute: bool = False
    wrapped: bool = False

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        said: dict[str, Any] = {"name": self.name} if self.name is not None else {}
        for word in ("attribute", "wrapped"):
            if getattr(self, word):
                said[word] = True
        return handler(schema) | {"xml": said}


# what tells the kinds of component apart is an attribute
Kind = Annotated[str, Xml(attribute=True)]


def xml_root(name: str) -> ConfigDict:
    """For a model's `model_config`: the name of its element where it is a document of its own."""
    return ConfigDict(json_schema_extra={"xml": {"name": name}})


def _integral(value: Any) -> Any:
    """JSON Schema counts 2.0 among the integers; pydantic's strict mode doesn't."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Int64 = Annotated[int, BeforeValidator(_integral), Field(ge=-(2**63), lt=2**63)]
Int32 = Annotated[int, BeforeValidator(_integral), Field(ge=-(2**31), lt=2**31)]
Float = Annotated[float, Field(allow_inf_nan=False)]


def by_kind(known: Mapping[str, str]) -> Discriminator:
    """Chooses the alternative of a union by `kind`: `known` maps kind URIs to tags, all else is UNKNOWN.

    What has no `kind` that is a string counts as unknown too: the model for that says what is missing.
    """

    def choose(value: Any) -> str:
        kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
        return known.get(kind, UNKNOWN) if isinstance(kind, str) else UNKNOWN

    return Discriminator(choose)


def to_wire(model: BaseModel) -> dict[str, Any]:
    """The document of a model: without nulls, empties, and what the contract doesn't know."""
    found: dict[str, Any] = prune(_known(model))
    return found


def _known(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _known(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list):
        return [_known(member) for member in value]
    return value.value if isinstance(value, Enum) else value


def prune(value: Any) -> Any:
    """`value` without members that are null or empty, at any depth. An empty text is something, and stays."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict | Mapping):
        members = ((name, prune(member)) for name, member in value.items())
        return {name: found for name, found in members if found or not (found is None or found in ({}, []))}
    if isinstance(value, list):
        return [prune(member) for member in value if member is not None]
    return value


def quote(text: object) -> str:
    """`text` in quotes, cut where it is long: a client's own words in a message to it."""
    shown = str(text)
    return repr(shown if len(shown) <= 80 else shown[:77] + "...")

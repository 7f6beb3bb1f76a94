"""What a client may change of a session (options), and the changes that it asks for (updates)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from broker.contract.wire import Int64, Wire, Xml


class StringValueOption(Wire):
    kind: Annotated[Literal["uri:string-value-option"], Xml(attribute=True)]
    path: str
    pattern: str | None = None


class EnumValueOption(Wire):
    kind: Annotated[Literal["uri:enum-value-option"], Xml(attribute=True)]
    path: str
    values: list[str]


class IntegerValueOption(Wire):
    kind: Annotated[Literal["uri:integer-value-option"], Xml(attribute=True)]
    path: str
    min: Int64 | None = None
    max: Int64 | None = None
    units: str | None = None


class IntegerDeltaOption(Wire):
    kind: Annotated[Literal["uri:integer-delta-option"], Xml(attribute=True)]
    path: str
    min: Int64 | None = None
    max: Int64 | None = None
    units: str | None = None


Option = Annotated[
    StringValueOption | EnumValueOption | IntegerValueOption | IntegerDeltaOption, Field(discriminator="kind")
]


class EnumValueUpdate(Wire):
    kind: Annotated[Literal["uri:enum-value-update"], Xml(attribute=True)]
    path: str
    value: str


class StringValueUpdate(Wire):
    kind: Annotated[Literal["uri:string-value-update"], Xml(attribute=True)]
    path: str
    value: str


class IntegerValueUpdate(Wire):
    kind: Annotated[Literal["uri:integer-value-update"], Xml(attribute=True)]
    path: str
    value: Int64
    units: str | None = None


class IntegerDeltaUpdate(Wire):
    kind: Annotated[Literal["uri:integer-delta-update"], Xml(attribute=True)]
    path: str
    delta: Int64
    units: str | None = None


Update = Annotated[
    EnumValueUpdate | StringValueUpdate | IntegerValueUpdate | IntegerDeltaUpdate, Field(discriminator="kind")
]

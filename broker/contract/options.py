"""What a client may change of a session (options), and the changes that it asks for (updates)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from broker.contract.wire import Int64, Wire


class StringValueOption(Wire):
    kind: Literal["uri:string-value-option"]
    path: str
    pattern: str | None = None


class EnumValueOption(Wire):
    kind: Literal["uri:enum-value-option"]
    path: str
    values: list[str]


class IntegerValueOption(Wire):
    kind: Literal["uri:integer-value-option"]
    path: str
    min: Int64 | None = None
    max: Int64 | None = None
    units: str | None = None


class IntegerDeltaOption(Wire):
    kind: Literal["uri:integer-delta-option"]
    path: str
    min: Int64 | None = None
    max: Int64 | None = None
    units: str | None = None


Option = Annotated[
    StringValueOption | EnumValueOption | IntegerValueOption | IntegerDeltaOption, Field(discriminator="kind")
]


class EnumValueUpdate(Wire):
    kind: Literal["uri:enum-value-update"]
    path: str
    value: str


class StringValueUpdate(Wire):
    kind: Literal["uri:string-value-update"]
    path: str
    value: str


class IntegerValueUpdate(Wire):
    kind: Literal["uri:integer-value-update"]
    path: str
    value: Int64
    units: str | None = None


class IntegerDeltaUpdate(Wire):
    kind: Literal["uri:integer-delta-update"]
    path: str
    delta: Int64
    units: str | None = None


Update = Annotated[
    EnumValueUpdate | StringValueUpdate | IntegerValueUpdate | IntegerDeltaUpdate, Field(discriminator="kind")
]

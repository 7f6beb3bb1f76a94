"""What a host must be like, in Blazar's own expression language.

A text that is a JSON list: `["==", "$gpu", "True"]`, or `["and", [...], [...]]`. Operators: = == != < <= >
>=. There is no "or". Blazar compares the values of extra capabilities as text; so do we.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from federation.errors import InputError

_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
EXPECTED = 'expected a list such as ["==", "$gpu", "True"] or ["and", [...], [...]]'


@dataclass(frozen=True)
class Condition:
    """One comparison: property, operator, value."""

    name: str
    operator: str
    value: str


@dataclass(frozen=True)
class Expression:
    """Conditions that all must hold; none: anything does."""

    conditions: tuple[Condition, ...] = ()

    def holds(self, properties: Mapping[str, str]) -> bool:
        """Whether a host with these properties is right. A property that it hasn't fails its condition."""
        return all(
            each.name in properties and _OPERATORS[each.operator](properties[each.name], each.value)
            for each in self.conditions
        )

    def text(self) -> str:
        """As Blazar wants it; the empty text for anything."""
        lists = [[each.operator, f"${each.name}", each.value] for each in self.conditions]
        if not lists:
            return ""
        return json.dumps(lists[0] if len(lists) == 1 else ["and", *lists])


ANYTHING = Expression()


def parse_expression(text: str, where: str = "properties") -> Expression:
    """Read an expression; the empty text is anything. Raises InputError that says what was expected."""
    if not text.strip():
        return ANYTHING
    try:
        document = json.loads(text)
    except ValueError:
        raise InputError(f"{where}: {EXPECTED}, got {text!r}") from None
    return Expression(tuple(_conditions(document, where)))


def _conditions(document: Any, where: str) -> Iterator[Condition]:
    match document:
        case ["and", _, *_]:
            for part in document[1:]:
                yield from _conditions(part, where)
        case [str(sign), str(name), str(value)] if sign in _OPERATORS and name.startswith("$") and name[1:]:
            yield Condition(name[1:], sign, value)
        case _:
            raise InputError(f"{where}: {EXPECTED}, got {json.dumps(document)}")

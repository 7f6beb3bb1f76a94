"""What a host must be like, in Blazar's own expression language.

A text that is a JSON list: `["==", "$gpu", "True"]`, or `["and", [...], [...]]`. Operators: = == != < <= >
>=. There is no "or". Blazar keeps a host's own figures as numbers, and compares the values of all other
properties as text ("10" is less than "9"); so do we.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from federation.errors import InputError

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Blazar's columns of a host that are numbers (blazar/db/sqlalchemy/models.py, ComputeHost).
NUMBERS = frozenset({"vcpus", "memory_mb", "local_gb", "hypervisor_version"})
EXPECTED = 'expected a list such as ["==", "$gpu", "True"] or ["and", [...], [...]]'


@dataclass(frozen=True)
class Condition:
    """One comparison: property, operator, value."""

    name: str
    operator: str
    value: str

    def holds(self, properties: Mapping[str, str]) -> bool:
        """A property that the host hasn't fails, also with "!=", as in Blazar; so does one that should be a
        number and isn't.
        """
        if self.name not in properties:
            return False
        has, wanted = properties[self.name], self.value
        if self.name not in NUMBERS:
            return _OPERATORS[self.operator](has, wanted)
        numbers = _number(has), _number(wanted)
        return None not in numbers and _OPERATORS[self.operator](*numbers)


@dataclass(frozen=True)
class Expression:
    """Conditions that all must hold; none: anything does."""

    conditions: tuple[Condition, ...] = ()

    def holds(self, properties: Mapping[str, str]) -> bool:
        """Whether a host with these properties is right."""
        return all(each.holds(properties) for each in self.conditions)

    def text(self) -> str:
        """As Blazar wants it; the empty text for anything."""
        lists = [[each.operator, f"${each.name}", each.value] for each in self.conditions]
        if not lists:
            return ""
        return json.dumps(lists[0] if len(lists) == 1 else ["and", *lists])


ANYTHING = Expression()


def parse_expression(text: str, where: str = "properties") -> Expression:
    """Read an expression; the empty text and the empty list are anything. Raises InputError that says what
    was expected.
    """
    if not text.strip():
        return ANYTHING
    try:
        document = json.loads(text)
    except ValueError:
        raise InputError(f"{where}: {EXPECTED}, got {text!r}") from None
    if document == []:
        return ANYTHING
    return Expression(tuple(_conditions(document, where)))


def _conditions(document: Any, where: str) -> Iterator[Condition]:
    match document:
        case ["and", _, *_]:
            for part in document[1:]:
                yield from _conditions(part, where)
        case [str(sign), str(name), str(value)] if (
            sign in _OPERATORS and name.startswith("$") and name[1:] and value
        ):
            if name[1:] in NUMBERS and _number(value) is None:
                raise InputError(f"{where}: {name} is a number, got {value!r}")
            yield Condition(name[1:], sign, value)
        case _:
            raise InputError(f"{where}: {EXPECTED}, got {json.dumps(document)}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

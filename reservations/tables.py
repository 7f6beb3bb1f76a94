"""Reading a table of options key by key: what is wrong is told with its table, key and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from federation.errors import InputError
from federation.units import parse_duration, parse_size_bytes

T = TypeVar("T")
_MISSING: Any = object()
AN_INSTANT = "an instant such as 2026-12-01T08:00:00Z"
A_NUMBER = "a number of at least 0"
A_HOME_PATH = 'a path that begins with "/" or "~/"'
AMOUNTS = "a table of numbers of at least 0, such as { VCPU = 1.0 }"


class Table:
    """One table as TOML gives it. Every reader takes a key and what holds where it is left out.

    Without a default the key must be there. All raise InputError; `end` does for keys that nobody asked for.
    """

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise InputError(f"{where}: expected a table, got {values!r}")
        self._values, self.where = values, where
        self._asked: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def end(self) -> None:
        """To be called after all keys were read: what is left over is not known."""
        unknown = sorted(set(self._values) - set(self._asked))
        if unknown:
            known = ", ".join(self._asked) or "nothing"
            raise InputError(f"{self.where}: unknown {', '.join(unknown)}: expected {known}")

    def bad(self, key: str, expected: str) -> InputError:
        """What is wrong with the value of `key`."""
        if key not in self._values:
            return InputError(f"{self.where}.{key}: expected {expected}, but it is missing")
        return InputError(f"{self.where}.{key}: expected {expected}, got {self._values[key]!r}")

    def _read(self, key: str, default: Any, expected: str, read: Callable[[Any], T | None]) -> T:
        self._asked.append(key)
        if key not in self._values and default is not _MISSING:
            return default  # type: ignore[no-any-return]
        found = read(self._values[key]) if key in self._values else None
        if found is None:
            raise self.bad(key, expected)
        return found

    def text(self, key: str, default: Any = _MISSING) -> Any:
        """A text that is not empty."""
        return self._read(
            key, default, "a text", lambda value: value.strip() or None if _text(value) else None
        )

    def path(self, key: str, default: Any = _MISSING) -> Any:
        """A path from the root or from home: which directory another would begin at, nobody could tell."""

        def read(value: Any) -> Path | None:
            return Path(value).expanduser() if _text(value) and value.startswith(("/", "~/")) else None

        return self._read(key, default, A_HOME_PATH, read)

    def whole(self, key: str, default: Any = _MISSING, least: int = 0) -> Any:
        def read(value: Any) -> int | None:
            return (
                value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None
            )

        return self._read(key, default, f"a whole number of at least {least}", read)

    def number(self, key: str, default: Any = _MISSING) -> Any:
        return self._read(key, default, A_NUMBER, _number)

    def truth(self, key: str, default: Any = _MISSING) -> Any:
        return self._read(
            key, default, "true or false", lambda value: value if value in (True, False) else None
        )

    def instant(self, key: str, default: Any = _MISSING) -> Any:
        """With its offset; in UTC."""

        def read(value: Any) -> datetime | None:
            aware = isinstance(value, datetime) and value.tzinfo is not None
            return value.astimezone(UTC) if aware else None

        return self._read(key, default, AN_INSTANT, read)

    def duration(self, key: str, default: Any = _MISSING) -> Any:
        return self._parsed(key, default, 'a duration such as "3d"', _duration)

    def size_bytes(self, key: str, default: Any = _MISSING) -> Any:
        return self._parsed(key, default, 'a size such as "256 GiB"', parse_size_bytes)

    def _parsed(self, key: str, default: Any, expected: str, parse: Callable[[str], T]) -> T:
        def read(value: Any) -> T | None:
            try:
                return parse(value)
            except InputError:
                return None

        return self._read(key, default, expected, read)

    def prices(self, key: str, default: Any = _MISSING) -> Any:
        """Numbers by resource class."""

        def read(value: Any) -> Mapping[str, float] | None:
            if not isinstance(value, Mapping):
                return None
            found = {name: _number(number) for name, number in value.items()}
            return None if None in found.values() else found  # type: ignore[return-value]

        return self._read(key, default, AMOUNTS, read)

    def texts(self, key: str, default: Any = _MISSING) -> Any:
        """Texts by name; numbers and booleans become texts."""

        def read(value: Any) -> Mapping[str, str] | None:
            if not isinstance(value, Mapping):
                return None
            plain = all(isinstance(each, str | int | float) for each in value.values())
            return {name: str(each) for name, each in value.items()} if plain else None

        return self._read(key, default, 'a table of texts, such as { gpu = "True" }', read)

    def tables(self, key: str) -> list[Table]:
        """The tables of a list; none where the key is left out."""

        def read(value: Any) -> Sequence[Any] | None:
            return value if isinstance(value, Sequence) and not isinstance(value, str) else None

        found = self._read(key, (), "a list of tables", read)
        return [Table(each, f"{self.where}.{key}[{number}]") for number, each in enumerate(found)]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < float("inf") else None


def _duration(text: str) -> timedelta | None:
    found = parse_duration(text)
    return found if found > timedelta(0) else None

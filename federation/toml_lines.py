"""Reading a TOML file, and on which line a key stands: tomllib reads the values and forgets the places."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from federation.errors import InputError

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_QUOTES = re.compile(r'"""|\'\'\'')


def _parts(dotted: str) -> tuple[str, ...]:
    """The names in a dotted key, by the rules of TOML itself."""
    value = tomllib.loads(f"{dotted} = 0")
    parts: list[str] = []
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        parts.append(name)
    return tuple(parts)


def _places(text: str) -> dict[tuple[str, ...], int]:
    places: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    # the quotes that a multi-line string is waiting for, while in one
    open_quotes = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not open_quotes:
            header = _HEADER.match(line)
            key = _KEY.match(line)
            if header is not None:
                table = _parts(header.group(1))
                path = table
            elif key is not None:
                path = (*table, *_parts(key.group(1)))
            else:
                path = ()
            # a table is where its first part stands, unless it has a header of its own
            for length in range(1, len(path) + 1):
                places.setdefault(path[:length], number)
        for quotes in _QUOTES.findall(line.split("#")[0] if not open_quotes else line):
            open_quotes = quotes if not open_quotes else "" if quotes == open_quotes else open_quotes
    return places


def line_of(text: str, path: tuple[str, ...]) -> int:
    """The line (from 1) of the key or table at `path` in the valid TOML `text`.

    Where the key stands inside an inline table, or is missing, this is the line of the nearest table
    around it.
    """
    places = _places(text)
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return 1


def read_toml(path: Path, what: str) -> tuple[str, dict[str, Any]]:
    """The text and the values of the TOML file `path`; InputError of one line, with the line where it breaks.

    `what` names the file to people: "the catalogue".
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError(f"{path}: {what} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got another byte at offset {error.start}") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}:{_syntax_error(text, str(error))}") from error


def _syntax_error(text: str, message: str) -> str:
    at_line = _AT_LINE.search(message)
    if at_line is not None:
        return f"{at_line.group(1)}: expected TOML: {message[: at_line.start()]}"
    last = max(1, len(text.splitlines()))
    return f"{last}: expected TOML: {message.removesuffix(' (at end of document)')} at the end of the file"

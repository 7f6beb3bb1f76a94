"""Rows of a VOTable that aren't text (BINARY, BINARY2), read by astropy, in a process of its own.

`python -m broker.catalogues.ivoa_binary` reads {"body": TEXT} and writes {"rows": [{NAME: TEXT}]} of the
table of results, what is empty left out, or {"error": TEXT}.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from federation.aside import AsideError, aside, limit
from federation.errors import one_line

TIME_LIMIT_SECONDS = 20
_MEMORY_BYTES = 1024**3
_MODULE = "broker.catalogues.ivoa_binary"


class BinaryError(Exception):
    """The rows can't be read; a few words that say why, to follow "its rows are BINARY2: "."""


def binary_rows(body: str, seconds: float) -> Sequence[Mapping[str, str]]:
    """The rows of the table of results in `body`, a document without DTD and without rows elsewhere (`href`):
    astropy would fetch these. Blocks. Raises BinaryError."""
    if find_spec("astropy") is None:
        raise BinaryError("this broker reads TABLEDATA alone (its operator would install fairlead[fits])")
    try:
        said = aside(_MODULE, {"body": body}, min(seconds, TIME_LIMIT_SECONDS))
    except AsideError as problem:
        raise BinaryError(f"they can't be read: {problem}") from problem
    if "error" in said:
        raise BinaryError(f"they can't be read: {said['error']}")
    found: Sequence[Mapping[str, str]] = said["rows"]
    return found


def _read(body: str) -> list[dict[str, str]]:
    from astropy.io.votable import parse

    document = parse(io.BytesIO(body.encode()), verify="ignore")
    results = [each for each in document.resources if each.type == "results"] or document.resources
    table = results[0].tables[0]
    names = [field.name.lower() for field in table.fields]
    cells = [_column(table.array[column]) for column in table.array.dtype.names or ()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
    return [{name: text for name, text in row.items() if text} for row in rows]


def _column(column: Any) -> list[str]:
    """The cells as text, empty where they are null."""
    cells = zip(column.data, column.mask, strict=True)
    return ["" if is_null.any() else _text(cell) for cell, is_null in cells]


def _text(cell: Any) -> str:
    return (cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)).strip()


def main() -> int:
    """The command. Returns its exit status."""
    limit(TIME_LIMIT_SECONDS, _MEMORY_BYTES)
    warnings.simplefilter("ignore")
    try:
        said: dict[str, Any] = {"rows": _read(json.load(sys.stdin)["body"])}
    except Exception as problem:  # whatever astropy makes of it
        said = {"error": one_line(f"{type(problem).__name__}: {problem}")[:200]}
    json.dump(said, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

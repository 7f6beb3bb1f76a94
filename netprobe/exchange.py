"""Measurements to a file and back without loss: Parquet or CSV, whatever the number of rows.

Both have the columns of the archive. `started` is a time in UTC (Parquet: a timestamp in microseconds, CSV:
ISO 8601), `seconds` a number, `figures`, `parameters`, `context` and `raw` are JSON text, all others text.
In CSV a cell that is empty is nothing; text that is there but empty, or begins with a backslash, has a
backslash in front of it (in the columns that may hold nothing).

With the rows goes where they come from: in Parquet among the file's metadata, for CSV in `FILE-metadata.json`
beside it, the place that the W3C's "CSV on the Web" names.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from federation.errors import InputError, OutsideError, one_line
from netprobe.archive_rows import COLUMNS, checked, row
from netprobe.measurement import Measurement

FORMATS = (".parquet", ".csv")
_PART = 5000
_MAY_BE_NOTHING = ("source_address", "destination_address", "error", "archive", "raw")
_METADATA_KEY = "fairlead"
# raw documents may be longer than what the csv module takes by itself
_LONGEST_CELL = 2**31 - 1
_HINT = "Parquet needs pyarrow: install fairlead[exchange], or choose a .csv file"


@dataclass(frozen=True)
class Provenance:
    """What a file holds: written by which version and when, how many rows, between which times (ISO 8601)."""

    fairlead: str
    written: str
    count: int
    first: str | None
    last: str | None


def export(found: Iterable[Measurement], path: Path, now: datetime) -> Provenance:
    """Write measurements to `path`, Parquet or CSV by its name; the whole file, or none.

    InputError for another name or without pyarrow, OutsideError where the file can't be written.
    """
    write = _write_parquet if _format(path) == ".parquet" else _write_csv
    part = path.with_name(f"{path.name}.part")
    try:
        try:
            written = write(found, part, now)
            # an older file's count must not stand beside the new one, not even for a moment
            _beside(path).unlink(missing_ok=True)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        if _format(path) == ".csv":
            _say_beside(path, written)
    except OSError as error:
        raise OutsideError(f"{path}: can't be written: {error.strerror or error}") from error
    return written


def read(path: Path) -> Iterator[Measurement]:
    """The measurements in a file of `export`, in its order, read in parts.

    InputError, with the row (the first after the heading is 1), where one is not a measurement, and at the
    end where there are fewer rows than were written; OutsideError where the file can't be read.
    """
    rows = _read_parquet(path) if _format(path) == ".parquet" else _read_csv(path)
    count = 0
    try:
        for fields in rows:
            count += 1
            try:
                yield checked(fields)
            except ValueError as error:
                raise InputError(f"{path}, row {count}: {error}") from None
        expected = provenance(path)
    except UnicodeDecodeError:
        raise InputError(f"{path}, after row {count}: expected UTF-8 text") from None
    except csv.Error as error:
        raise InputError(f"{path}, after row {count}: {error}") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    if expected is not None and expected.count != count:
        raise InputError(f"{path}: expected {expected.count} rows, as were written, got {count}")


def provenance(path: Path) -> Provenance | None:
    """What the file says of itself; None where it says nothing. Raises as `read` does."""
    try:
        text = _parquet_metadata(path) if _format(path) == ".parquet" else _said_beside(path)
        return None if text is None else Provenance(**json.loads(text))
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: what it says of itself is not what fairlead writes") from None
    except OSError as error:
        raise _unreadable(path, error) from error


class _Seen:
    """Counts what passes by."""

    def __init__(self) -> None:
        self.count = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def pass_on(self, found: Iterable[Measurement]) -> Iterator[Measurement]:
        for one in found:
            self.count += 1
            self.first = one.started if self.first is None else min(self.first, one.started)
            self.last = one.started if self.last is None else max(self.last, one.started)
            yield one

    def provenance(self, now: datetime) -> Provenance:
        first, last = (
            None if instant is None else instant.astimezone(UTC).isoformat()
            for instant in (self.first, self.last)
        )
        return Provenance(version("fairlead"), now.astimezone(UTC).isoformat(), self.count, first, last)


def _write_parquet(found: Iterable[Measurement], part: Path, now: datetime) -> Provenance:
    parquet = _parquet()
    import pyarrow

    types = {"started": pyarrow.timestamp("us", "UTC"), "seconds": pyarrow.float64()}
    schema = pyarrow.schema(
        pyarrow.field(name, types.get(name, pyarrow.string()), nullable=name in _MAY_BE_NOTHING)
        for name in COLUMNS
    )
    seen = _Seen()
    waiting = seen.pass_on(found)
    with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
        while rows := [row(one, _itself, "{}") for one in islice(waiting, _PART)]:
            columns = [
                pyarrow.array(values, field.type)
                for values, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
        written = seen.provenance(now)
        writer.add_key_value_metadata({_METADATA_KEY: json.dumps(asdict(written))})
    return written


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    with _opened_parquet(path) as file:
        missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path}: expected the column {missing[0]}")
        for batch in file.iter_batches(batch_size=_PART, columns=list(COLUMNS)):
            yield from batch.to_pylist()


def _parquet_metadata(path: Path) -> str | None:
    with _opened_parquet(path) as file:
        text: bytes | None = (file.metadata.metadata or {}).get(_METADATA_KEY.encode())
    return None if text is None else text.decode()


@contextmanager
def _opened_parquet(path: Path) -> Iterator[Any]:
    parquet = _parquet()
    import pyarrow

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, ValueError) as error:
        raise InputError(f"{path}: expected Parquet: {one_line(error)}") from None


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(_HINT) from None
    return parquet


def _write_csv(found: Iterable[Measurement], part: Path, now: datetime) -> Provenance:
    seen = _Seen()
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for one in seen.pass_on(found):
            values = zip(COLUMNS, row(one, datetime.isoformat, "{}"), strict=True)
            writer.writerow([_cell(value) if name in _MAY_BE_NOTHING else value for name, value in values])
    return seen.provenance(now)


def _read_csv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        heading = next(reader, [])
        missing = [name for name in COLUMNS if name not in heading]
        if missing:
            raise InputError(f"{path}: expected a first line with the column {missing[0]}")
        for number, cells in enumerate(reader, 1):
            if len(cells) != len(heading):
                raise InputError(f"{path}, row {number}: expected {len(heading)} cells, got {len(cells)}")
            fields: dict[str, Any] = dict(zip(heading, cells, strict=True))
            for name in _MAY_BE_NOTHING:
                fields[name] = _text(fields[name])
            yield fields


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    return f"\\{value}" if not value or value.startswith("\\") else value


def _text(cell: str) -> str | None:
    if not cell:
        return None
    return cell[1:] if cell.startswith("\\") else cell


def _said_beside(path: Path) -> str | None:
    beside = _beside(path)
    if not beside.exists():
        return None
    (note,) = json.loads(beside.read_text(encoding="utf-8"))["notes"]
    return json.dumps(note)


def _say_beside(path: Path, written: Provenance) -> None:
    document = {"@context": "http://www.w3.org/ns/csvw", "url": path.name, "notes": [asdict(written)]}
    _beside(path).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}-metadata.json")


def _unreadable(path: Path, error: OSError) -> OutsideError:
    # pyarrow's own text is long, and names the path again
    said = os.strerror(error.errno) if error.errno else one_line(error)
    return OutsideError(f"{path}: can't be read: {said}")


def _format(path: Path) -> str:
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: expected a name that ends with .parquet or .csv")
    return path.suffix.lower()


def _itself(instant: datetime) -> datetime:
    return instant

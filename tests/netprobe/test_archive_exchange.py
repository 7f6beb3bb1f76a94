"""Measurements to a file and back: nothing is lost, and a bad file is one line with the row."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from federation.errors import InputError, OutsideError
from netprobe.archive import Archive
from netprobe.exchange import export, provenance, read
from netprobe.measurement import Kind, Measurement, Origin
from tests.netprobe.test_archive import NOON, measurement

FORMATS = ("csv", "parquet")
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | numbers | texts,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(texts, parts, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
instants = st.datetimes(
    datetime(2, 1, 1),  # noqa: DTZ001
    datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)
anything = st.builds(
    Measurement,
    kind=st.sampled_from(Kind),
    source=names,
    destination=names,
    started=instants,
    seconds=numbers,
    tool=names,
    origin=st.sampled_from(Origin),
    figures=st.dictionaries(texts, numbers, max_size=3),
    parameters=objects,
    source_address=st.none() | texts,
    destination_address=st.none() | texts,
    error=st.none() | texts | st.sampled_from(["\\", "\\N", "\r", "\n", '"', ",", "\r\n\\"]),
    context=objects,
    archive=st.none() | texts,
    raw=st.none() | objects,
    id=names,
)


@pytest.mark.parametrize("ending", FORMATS)
@settings(max_examples=60)
@given(found=st.lists(anything, max_size=4))
def test_any_measurement_comes_back_equal(ending: str, found: list[Measurement]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"mesh.{ending}"
        export(found, path, NOON)
        assert list(read(path)) == found


@pytest.mark.parametrize("ending", FORMATS)
def test_an_archive_to_a_file_and_into_another_twice(engine: Engine, tmp_path: Path, ending: str) -> None:
    archive, path = Archive(engine), tmp_path / f"mesh.{ending}"
    found = [
        measurement(minutes=number, raw={"n": "x" * 200_000 if number == 7 else number})
        for number in range(30)
    ]
    archive.add(found)
    export(archive.all(), path, NOON)
    # what is there already is left as it is
    assert list(archive.ingest(read(path))) == [(30, 0)]
    assert list(archive.all()) == found
    assert list(read(path)) == found


@pytest.mark.parametrize("ending", FORMATS)
def test_a_file_says_where_it_comes_from(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mesh.{ending}"
    written = export([measurement(minutes=9), measurement(minutes=3)], path, NOON)
    assert provenance(path) == written
    assert (written.count, written.written) == (2, NOON.isoformat())
    assert written.first == (NOON + timedelta(minutes=3)).isoformat()
    assert written.last == (NOON + timedelta(minutes=9)).isoformat()
    export([], path, NOON)
    assert provenance(path) is not None
    assert list(read(path)) == []


@pytest.mark.parametrize("ending", FORMATS)
def test_the_whole_file_or_none(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mesh.{ending}"
    export([measurement()], path, NOON)
    before = path.read_bytes()

    def breaks() -> Iterator[Measurement]:
        yield measurement()
        raise OutsideError("the database is gone")

    with pytest.raises(OutsideError, match="gone"):
        export(breaks(), path, NOON)
    assert path.read_bytes() == before
    assert len(list(read(path))) == 1
    assert not [left for left in tmp_path.iterdir() if left.name.endswith(".part")]


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("started", "yesterday", "started: expected a time with an offset"),
        ("started", "2026-03-01T12:00:00", "started: expected a time with an offset"),
        ("seconds", "nan", "seconds: expected a number"),
        ("kind", "speed", "kind: expected one of throughput,"),
        ("origin", "", "origin: expected one of scripted,"),
        ("figures", '{"rtt_seconds": "fast"}', "figures: rtt_seconds: expected a number, got 'fast'"),
        ("figures", '{"rtt_seconds": NaN}', "figures: expected a JSON object"),
        ("parameters", "[]", "parameters: expected a JSON object"),
        ("raw", "{", "raw: expected a JSON object"),
        ("source", "s" * 65, "source: expected 64 characters at most, got 65"),
        ("id", "", "id: expected text"),
        ("error", "a\0b", "error: expected text without NUL"),
    ],
)
def test_a_bad_cell_is_one_line_with_the_row(tmp_path: Path, column: str, cell: str, said: str) -> None:
    path = tmp_path / "mesh.csv"
    export([measurement(), measurement(minutes=1)], path, NOON)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[2][rows[0].index(column)] = cell
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(InputError) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path}, row 2: {said}")
    assert "\n" not in str(caught.value)


def test_a_csv_file_that_is_cut_short_or_torn_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mesh.csv"
    export((measurement(minutes=number) for number in range(5)), path, NOON)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    with pytest.raises(InputError, match="expected 5 rows, as were written, got 3"):
        list(read(path))
    path.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    with pytest.raises(InputError, match="row 3: expected 16 cells"):
        list(read(path))
    path.write_bytes(b"".join(lines[:3]) + b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        list(read(path))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="expected a first line with the column id"):
        list(read(path))
    export([measurement()], path, NOON)
    path.with_name("mesh.csv-metadata.json").write_text(json.dumps({"notes": []}))
    with pytest.raises(InputError, match="what it says of itself"):
        list(read(path))
    with pytest.raises(OutsideError, match="can't be read: No such file"):
        list(read(tmp_path / "none.csv"))


def test_parquet_that_is_none_or_has_other_columns_is_told(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "mesh.parquet"
    path.write_bytes(b"PAR1, or not")
    with pytest.raises(InputError, match="expected Parquet"):
        list(read(path))
    parquet.write_table(pyarrow.table({"id": ["1"]}), path)
    with pytest.raises(InputError, match="expected the column kind"):
        list(read(path))
    export([measurement()], path, NOON)
    table = parquet.read_table(path)
    place = table.schema.get_field_index("started")
    naive = pyarrow.array([datetime(2026, 1, 1)], pyarrow.timestamp("ns"))  # noqa: DTZ001
    parquet.write_table(table.set_column(place, "started", naive), path)
    with pytest.raises(InputError, match="row 1: started: expected a time with an offset"):
        list(read(path))


def test_another_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a name that ends with"):
        export([measurement()], tmp_path / "mesh.xlsx", NOON)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutsideError, match="can't be written"):
        export([measurement()], tmp_path / "nowhere" / "mesh.csv", NOON)

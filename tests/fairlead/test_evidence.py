"""What the demo concludes from a container's output."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from rich.console import Console

from fairlead.evidence import missing_checksums, transfer_table
from netprobe.measurement import Kind, Measurement, Origin

A, B = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b"))


def resource(name: str, value: str, algorithm: str = "sha256") -> dict[str, object]:
    return {"meta": {"name": name}, "skao": {"checksum": {"type": algorithm, "value": value}}}


def test_all_stated_checksums_must_be_printed() -> None:
    request = {"data": [resource("one", A), resource("two", B.upper(), "SHA-256")]}
    assert missing_checksums(request, f"{A}  ./one\n{B} *./two\n") == []
    assert missing_checksums(request, f"{A}  ./one\n") == ["two"]
    assert missing_checksums(request, "") == ["one", "two"]
    # a longer string of hexadecimal digits is not that checksum
    assert missing_checksums(request, f"{A}{A}  ./one\n{B}0  ./two\n") == ["one", "two"]


def transfer(seconds: float, **more: float) -> Measurement:
    return Measurement(
        kind=Kind.TRANSFER,
        source="perth",
        destination="lausanne",
        started=datetime(2026, 1, 1, tzinfo=UTC),
        seconds=seconds,
        tool="transfer",
        origin=Origin.STAGING,
        figures={"seconds": seconds, "size_bytes": 2e8, **more},
    )


def test_predicted_and_actual_stand_side_by_side() -> None:
    forecast = {"predicted_seconds": 10.0, "predicted_seconds_p10": 8.0, "predicted_seconds_p90": 13.0}
    console = Console(width=120)
    with console.capture() as captured:
        console.print(transfer_table([transfer(11.0, **forecast), transfer(14.0, **forecast), transfer(3.0)]))
    inside, outside, unknown = (line for line in captured.get().splitlines() if "perth" in line)
    assert "+10 %, inside" in inside
    assert "+40 %, outside" in outside
    assert "not forecast" in unknown


def test_what_is_off_by_nothing_has_no_minus() -> None:
    forecast = {"predicted_seconds": 10.0, "predicted_seconds_p10": 8.0, "predicted_seconds_p90": 13.0}
    console = Console(width=120)
    with console.capture() as captured:
        console.print(transfer_table([transfer(9.97, **forecast)]))
    assert "+0 %, inside" in captured.get()


@pytest.mark.parametrize(
    ("actual", "shown"),
    [
        (3.8531, "3.5 s / 3.7 s / 3.8512 s 3.8531 s +4 %, outside"),
        (3.8512, "3.5 s / 3.7 s / 3.85 s 3.85 s +4 %, inside"),
        (3.4999, "3.5 s / 3.7 s / 3.85 s 3.4999 s -5 %, outside"),
    ],
)
def test_what_is_said_to_be_outside_never_looks_like_the_bound(actual: float, shown: str) -> None:
    forecast = {"predicted_seconds": 3.7, "predicted_seconds_p10": 3.5, "predicted_seconds_p90": 3.8512}
    console = Console(width=120)
    with console.capture() as captured:
        console.print(transfer_table([transfer(actual, **forecast)]))
    [row] = (line for line in captured.get().splitlines() if "perth" in line)
    assert " ".join(row.replace("│", " ").split()).endswith(shown)

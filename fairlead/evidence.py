"""What the demo shows at its end: were the checksums right, and was the forecast?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from federation.units import format_apart, format_seconds, format_size
from netprobe.measurement import Measurement

SHA256_LINE = re.compile(r"^([0-9a-f]{64})\s+\*?(\S+)\s*$", re.MULTILINE)


def expected_checksums(request: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 values that a request states for its data, by the data's names."""
    found = {}
    for resource in request.get("data", ()):
        skao = resource.get("skao", {})
        checksum = skao.get("checksum", {})
        if str(checksum.get("type", "")).lower().replace("-", "") == "sha256":
            name = resource.get("meta", {}).get("name") or skao.get("objectname", "?")
            found[str(name)] = str(checksum["value"]).lower()
    return found


def printed_checksums(output: str) -> dict[str, str]:
    """The lines of a `sha256sum` in `output`: path -> value."""
    return {path: value for value, path in SHA256_LINE.findall(output)}


def missing_checksums(request: Mapping[str, Any], output: str) -> list[str]:
    """The names of the request's data whose right checksum is not in `output`; empty where all are."""
    printed = set(printed_checksums(output).values())
    return [name for name, value in expected_checksums(request).items() if value not in printed]


def transfer_table(transfers: Iterable[Measurement]) -> Table:
    """Predicted and actual seconds of transfers, side by side."""
    table = Table(title="Transfers: predicted and actual", title_justify="left", title_style="bold")
    table.add_column("from -> to")
    table.add_column("size", justify="right")
    table.add_column("predicted 10 / 50 / 90 %", justify="right")
    table.add_column("actual", justify="right")
    table.add_column("actual is off by", justify="right")
    for transfer in transfers:
        table.add_row(f"{transfer.source} -> {transfer.destination}", *_cells(transfer))
    return table


def _cells(transfer: Measurement) -> tuple[str, str, str, str]:
    figures = transfer.figures
    size = format_size(figures["size_bytes"]) if "size_bytes" in figures else "?"
    if transfer.error is not None:
        return size, "", "failed", transfer.error
    actual = figures["seconds"]
    predicted = figures.get("predicted_seconds")
    if predicted is None:
        return size, "not forecast", format_seconds(actual), ""
    low = figures.get("predicted_seconds_p10", predicted)
    high = figures.get("predicted_seconds_p90", predicted)
    off = f"{100 * (actual / predicted - 1):+z.0f} %" if predicted > 0 else ""
    said_low, said_high, said = format_seconds(low), format_seconds(high), format_seconds(actual)
    # one that is missed by less than the digits show would read as met
    if actual < low:
        said_low, said = format_apart(format_seconds, low, actual, "s")
    elif actual > high:
        said_high, said = format_apart(format_seconds, high, actual, "s")
    return (
        size,
        f"{said_low} / {format_seconds(predicted)} / {said_high}",
        said,
        f"{off}, {'inside' if low <= actual <= high else 'outside'}",
    )

"""Transfers, sessions and their archive, as the tests want them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.model import Phase
from fairlead.cli import main
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.quantiles import Quantiles
from reports.laid_out import LaidOut
from reports.promises.sessions import Asked, Promise
from reports.promises.transfers import Transfer

UNTIL = datetime(2026, 3, 31, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=30)
TIMES = ["--since", SINCE.isoformat(), "--until", UNTIL.isoformat()]
FORECAST = Quantiles(8.0, 10.0, 15.0)


def hours(number: float) -> datetime:
    return SINCE + timedelta(hours=number)


def transfer(hour: float, seconds: float, **more: Any) -> Transfer:
    """Of 1 GB from a to b, forecast to take 8, 10, 15 s."""
    given = {"source": "a", "destination": "b", "size_bytes": 1e9, "files": 1, "forecast": FORECAST} | more
    return Transfer(started=hours(hour), seconds=seconds, **given)


def moved(hour: float, seconds: float, *, forecast: Quantiles | None = FORECAST, **more: Any) -> Measurement:
    """The same, as the archive has it."""
    figures = {"seconds": seconds, "size_bytes": 1e9, "files": 1.0, "bits_per_second": 8e9 / seconds}
    if forecast is not None:
        figures |= {
            "predicted_seconds": forecast.p50,
            "predicted_seconds_p10": forecast.p10,
            "predicted_seconds_p90": forecast.p90,
        }
    given = {"source": "a", "destination": "b", "figures": figures} | more
    return Measurement(
        kind=Kind.TRANSFER,
        started=hours(hour),
        seconds=seconds,
        tool="transfer",
        origin=Origin.STAGING,
        **given,
    )


def throughput(hour: float, rate: float, **more: Any) -> Measurement:
    """A throughput test from a to b (bit/s)."""
    given = {"source": "a", "destination": "b", "figures": {"bits_per_second": rate}} | more
    return Measurement(
        kind=Kind.THROUGHPUT,
        started=hours(hour),
        seconds=10.0,
        tool="iperf3",
        origin=Origin.SCRIPTED,
        **given,
    )


def asked(number: int, *, yes: bool = True, owner: str = "ann-uuid", **more: Any) -> Asked:
    return Asked(f"set-{number}", owner, hours(number), more.pop("direct", False), yes, **more)


def promise(number: int, phase: Phase = Phase.COMPLETED, *, late: float | None = 0.0, **more: Any) -> Promise:
    """Of set `number`: promised for an hour later, prepared in 50 of 100 s, and started `late` seconds after
    what was promised (None: never)."""
    start = hours(number + 1)
    begun = start - timedelta(seconds=100)
    started = None if late is None else start + timedelta(seconds=late)
    given = {
        "rank": 1,
        "site": "perth",
        "cores": 4,
        "memory_gib": 8,
        "duration": timedelta(hours=2),
        "start_within": timedelta(0),
        "prepare_seconds": 100.0,
        "preparing": begun,
        "prepared": begun + timedelta(seconds=50),
        "finished": None if started is None else started + timedelta(hours=1),
        "ended": start + timedelta(hours=2),
    } | more
    return Promise(
        uuid=given.pop("uuid", f"{number:08d}-session-{given['rank']}"),
        offerset=f"set-{number}",
        owner=given.pop("owner", "ann-uuid"),
        phase=phase,
        created=hours(number),
        promised_start=start,
        started=started,
        **given,
    )


def offer(number: int, rank: int, phase: Phase) -> Promise:
    """One that was not accepted."""
    nothing = dict.fromkeys(("preparing", "prepared", "finished"))
    return promise(number, phase, late=None, rank=rank, **nothing)


def page(document: Any) -> str:
    """On the screen."""
    found = LaidOut(document)
    assert found.page(printed=True)
    assert found.markdown().startswith(f"# {document.title}")
    assert json.dumps(found.json(), allow_nan=False)
    return found.page(printed=False)


def run(name: str, *arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["report", name, *arguments])
    return int(leaving.value.code or 0)


def written(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found

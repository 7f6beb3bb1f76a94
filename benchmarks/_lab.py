"""What the benchmarks share: a lab that is up, and an archive in which it is measured."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from federation.catalogue import load_federation
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.sites import Federation
from federation.units import format_bits_per_second, format_seconds
from lab import lab, state, status
from netprobe.archive import Archive
from netprobe.measurement import Measurement
from netprobe.plan import load_plan
from netprobe.runner import Summary, run_plan

PLAN = Path(__file__).parent.parent / "examples" / "lab-plan.toml"


@dataclass(frozen=True)
class MeasuredLab:
    """The lab's sites, the files on their storage, and the archive of what was measured between them."""

    federation: Federation
    files: list[dict[str, Any]]
    engine: Engine
    archive: Archive


@contextmanager
def lab_up() -> Iterator[None]:
    """A lab: the one that is up, or one that goes again at the end. Needs root and network namespaces."""
    brought_up = status.status() is None
    if brought_up:
        lab.up()
    try:
        yield
    finally:
        if brought_up:
            lab.down()


@contextmanager
def measured_lab(database: str | None) -> Iterator[MeasuredLab]:
    """A lab, measured by the example plan where the archive (by default a temporary one) is empty."""
    with lab_up(), tempfile.TemporaryDirectory() as directory:
        engine = connect(database or f"sqlite:///{directory}/archive.db")
        upgrade(engine)
        archive = Archive(engine)
        federation = load_federation(state.state_dir() / "sites.toml")
        if archive.version() == 0:
            _measure(federation, archive)
        files = json.loads((state.state_dir() / "files.json").read_text())
        try:
            yield MeasuredLab(federation, files, engine, archive)
        finally:
            engine.dispose()


def measure_held_down(lab: MeasuredLab, window: str) -> None:
    """The same tests again with a small window, as a mesh may make them that nobody looked after."""
    with tempfile.TemporaryDirectory() as directory:
        held_down = Path(directory) / "held-down.toml"
        usual = "[defaults.iperf3]\n"
        held_down.write_text(PLAN.read_text().replace(usual, f'{usual}window = "{window}"\n'))
        _measure(lab.federation, lab.archive, held_down)


def _measure(federation: Federation, archive: Archive, plan: Path = PLAN) -> None:
    def tell(result: Measurement | None, summary: Summary) -> None:
        if result is None:
            print(f"measuring: round {summary.round} of {summary.rounds}", file=sys.stderr, flush=True)
        elif result.error:
            print(f"failed: {result.error}", file=sys.stderr, flush=True)

    summary = asyncio.run(run_plan(load_plan(plan), federation, archive, SystemClock(), tell))
    rates = [one.figures["bits_per_second"] for one in summary.results if "bits_per_second" in one.figures]
    print(
        f"measured: {summary.succeeded} of {summary.total} tests succeeded in "
        f"{format_seconds(summary.seconds)}, {format_bits_per_second(min(rates))} "
        f"to {format_bits_per_second(max(rates))}"
    )

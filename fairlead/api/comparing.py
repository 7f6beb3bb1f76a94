"""Scripted tests against the mesh: what the comparison report finds, as a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from fairlead.api.frames import table
from fairlead.api.opening import Opened
from federation.errors import InputError
from netprobe.measurement import Kind
from netprobe.meshes.psconfig import Expected
from netprobe.meshes.psconfig import expected as enumerate_tests
from netprobe.meshes.psconfig_document import load
from reports.compare.expected import wanted
from reports.compare.mesh import KIND_OF, compare_mesh
from reports.compare.ranking import headline, ranked
from reports.compare.reading import read
from reports.compare.tables import rows
from reports.compare.ways import Quantity

if TYPE_CHECKING:
    import pandas as pd

_FIRST = ("quantity", "source", "destination", "verdict", "causes", "ratio", "ratio_low", "ratio_high")
# what explains a rate is in the others: round trips, loss, routes
_KINDS = (Kind.THROUGHPUT, Kind.LATENCY, Kind.PATH)


def compared(
    opened: Opened,
    span: tuple[datetime, datetime],
    sites: Sequence[str] | None,
    quantities: Sequence[str],
    margins: tuple[float, float],
    expected: Sequence[Expected],
) -> pd.DataFrame:
    """A row for each path and quantity, worst first. `margins`: of rates and times, and of loss."""
    wrong = [name for name in quantities if name not in list(Quantity)]
    if wrong or not quantities:
        raise InputError(f"quantities: expected some of {', '.join(Quantity)}, got {list(quantities)!r}")
    for argument, margin in zip(("margin", "loss_margin"), margins, strict=True):
        if not 0 < margin < 1:
            raise InputError(f"{argument}: expected a share such as 0.1, got {margin!r}")
    chosen = tuple(Quantity(name) for name in quantities)
    federation, engine = opened.known_federation, opened.engine
    want = wanted(engine, expected, [], *span, federation, {KIND_OF[one] for one in chosen}, sites)
    reading = read(engine, _KINDS, *span, sites, opened.now)
    report = compare_mesh(reading, want, chosen, *margins, federation)
    return table(rows(ranked(report)), _FIRST, headline=headline(report), remarks=list(report.remarks))


def expected_of(template: str | os.PathLike[str]) -> tuple[list[Expected], list[str]]:
    """The tests that a pSConfig template (a file or an http(s) address) asks for, and what is wrong in it."""
    found = load(os.fspath(template))
    return enumerate_tests(found), list(found.problems)

"""What is named of what was planted: `python -m benchmarks.report --planted`, and `--planted 20`.

The first prints a table of the conditions that the tests plant, with what a report says of each. The second
draws each fault's strength, and the noise, for so many meshes, and counts in how many the verdict and all
causes are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from tempfile import TemporaryDirectory

from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement
from reports.compare.expected import Wanted
from reports.compare.mesh import compare_mesh
from reports.compare.model import Comparison
from reports.compare.reading import read
from reports.compare.ways import Quantity
from tests.reports.compare.planted import CONDITIONS, SINCE, UNTIL, Condition, conditions, drawn_conditions


def table(meshes: int) -> str:
    """Markdown."""
    if meshes == 1:
        found = _compared(conditions())
        lines = ["| planted | of | verdict | named | rightly |", "| --- | --- | --- | --- | --- |"]
        for one in CONDITIONS:
            comparison = found[_key(one)]
            named = ", ".join(comparison.causes) or ("unexplained" if comparison.next_steps else "nothing")
            right = "yes" if _right(one, comparison) else "NO"
            lines.append(f"| {one.planted} | {one.quantity} | {comparison.outcome} | {named} | {right} |")
        return "\n".join(lines)
    rightly: Counter[Condition] = Counter()
    wrongly: dict[Condition, Counter[str]] = {one: Counter() for one in CONDITIONS}
    for seed in range(meshes):
        found = _compared(drawn_conditions(seed))
        for one in CONDITIONS:
            comparison = found[_key(one)]
            rightly[one] += _right(one, comparison)
            if not _right(one, comparison):
                wrongly[one][", ".join([comparison.outcome, *comparison.causes])] += 1
    lines = [f"| planted | of | rightly of {meshes} | else |", "| --- | --- | ---: | --- |"]
    for one in CONDITIONS:
        other = "; ".join(f"{words} ({count})" for words, count in wrongly[one].most_common())
        lines.append(f"| {one.planted} | {one.quantity} | {rightly[one]} | {other} |")
    return "\n".join(lines)


def _key(one: Condition) -> tuple[Quantity, str, str]:
    return one.quantity, one.source, one.destination


def _right(one: Condition, found: Comparison) -> bool:
    return (found.outcome, found.causes) == (one.outcome, one.causes)


def _compared(rows: Iterable[Measurement]) -> dict[tuple[Quantity, str, str], Comparison]:
    with TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/archive.db")
        upgrade(engine)
        Archive(engine).add(rows)
        reading = read(engine, (Kind.THROUGHPUT, Kind.LATENCY, Kind.PATH), SINCE, UNTIL)
        engine.dispose()
    report = compare_mesh(reading, Wanted({}, {}), tuple(Quantity), 0.10, 0.001)
    return {(one.quantity, one.source, one.destination): one for one in report.comparisons}

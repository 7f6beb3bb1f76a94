"""Throughput tests that ran beside others at the same site, and shared its link."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from reports.compare.observed import Observed, Rows
from reports.compare.pairs import beside
from reports.compare.statistics import Floats


def count_overlaps(paths: Mapping[tuple[str, str], Observed]) -> None:
    """Set "overlapped" of every test: how many of the others ran at one of its two ends meanwhile."""
    of_site: dict[str, list[Rows]] = defaultdict(list)
    of_pair: dict[tuple[str, str], list[Rows]] = defaultdict(list)
    for (source, destination), observed in paths.items():
        for rows in observed.rows.values():
            rows["overlapped"][:] = 0
            of_site[source].append(rows)
            of_site[destination].append(rows)
            of_pair[min(source, destination), max(source, destination)].append(rows)
    _add(of_site.values(), 1)
    # what ran between the same two ends was counted at both
    _add(of_pair.values(), -1)


def _add(groups: Iterable[Sequence[Rows]], sign: int) -> None:
    for group in groups:
        starts = np.concatenate([rows["started"] for rows in group])
        # a second is left off, in which a test only connects or ends
        ends = starts + np.maximum(np.concatenate([rows["seconds"] for rows in group]) - 1, 0.1)
        counts: Floats = beside(starts, ends, np.sort(starts), np.sort(ends)) - 1
        done = 0
        for rows in group:
            rows["overlapped"][:] += sign * counts[done : done + len(rows)]
            done += len(rows)

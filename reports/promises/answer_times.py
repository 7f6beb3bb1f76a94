"""How long the broker took to answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from federation.units import format_seconds
from reports.document import Column, Table
from reports.promises.sessions import Asked

# So many of the slowest are named.
_SLOWEST = 10


def known(asked: Sequence[Asked]) -> list[Asked]:
    """Those of which it was kept how long the answer took."""
    return [one for one in asked if one.answer_seconds is not None]


def quartiles(asked: Sequence[Asked]) -> Table:
    """Of each kind of answer the quartiles, the 95 % quantile and the longest. At least one is `known`."""
    kinds = {
        "YES": [one for one in asked if one.yes and not one.direct],
        "NO": [one for one in asked if not one.yes and not one.direct],
        "run at once": [one for one in asked if one.direct],
    }
    rows = []
    for kind, some in kinds.items():
        seconds = [one.answer_seconds for one in some if one.answer_seconds is not None]
        if seconds:
            rows.append((kind, len(seconds), *np.quantile(seconds, (0.25, 0.5, 0.75, 0.95, 1.0)).tolist()))
    columns = ["p25_seconds", "p50_seconds", "p75_seconds", "p95_seconds", "longest_seconds"]
    heads = ("a quarter within", "half within", "three quarters", "95 % within", "longest")
    return Table(
        "answer-times",
        "How long answers took",
        pd.DataFrame(rows, columns=["answer", "requests", *columns]),
        (
            Column("answer", "answer"),
            Column("requests", "requests", lambda count: f"{count:,}", numeric=True),
            *(
                Column(column, head, format_seconds, numeric=True)
                for column, head in zip(columns, heads, strict=True)
            ),
        ),
        "From when the broker began with a request until its answer was kept; meanwhile it asks catalogues, "
        "registries and clouds.",
    )


def slowest(asked: Sequence[Asked]) -> Table:
    """The requests that took longest, longest first."""
    order = sorted(known(asked), key=lambda one: (-(one.answer_seconds or 0.0), one.uuid))[:_SLOWEST]
    rows = [
        (one.uuid, one.created, "YES" if one.yes else "NO", one.direct, one.answer_seconds) for one in order
    ]
    return Table(
        "slow-answers",
        "The slowest",
        pd.DataFrame(rows, columns=["request", "created", "answer", "direct", "answer_seconds"]),
        (
            Column("created", "asked (UTC)", lambda when: f"{when:%Y-%m-%d %H:%M}", numeric=True),
            Column("answer", "answer"),
            Column("answer_seconds", "took", format_seconds, numeric=True),
            Column("request", "request"),
        ),
    )

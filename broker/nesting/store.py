"""What was last found out of each site, in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from broker.nesting import KINDS, Attempt, Nesting, Trial
from broker.tables import nesting


def write_nesting(connection: Connection, found: Nesting) -> None:
    """Keep `found` instead of what was known of its site."""
    connection.execute(delete(nesting).where(nesting.c.site == found.site))
    privileged = found.privileged
    row = {
        "site": found.site,
        "tried": found.tried,
        "image": found.image,
        "plain": as_document(found.plain),
        "privileged": privileged if isinstance(privileged, str) else as_document(privileged),
    }
    connection.execute(insert(nesting).values(row))


def read_nesting(connection: Connection) -> dict[str, Nesting]:
    """What is known, by site."""
    rows = connection.execute(select(nesting).order_by(nesting.c.site))
    return {
        row.site: Nesting(
            row.site,
            row.tried,
            row.image,
            _trial(row.plain),
            row.privileged if isinstance(row.privileged, str) else _trial(row.privileged),
        )
        for row in rows
    }


def as_document(trial: Trial) -> dict[str, Any]:
    attempts = {
        kind.value: {"exit_code": each.exit_code, "said": each.said} for kind, each in trial.attempts.items()
    }
    return {"attempts": attempts, "facts": dict(trial.facts)}


def _trial(document: Mapping[str, Any]) -> Trial:
    attempts = {
        KINDS[name]: Attempt(each["exit_code"], each["said"])
        for name, each in document["attempts"].items()
        # what an older version tried, and this one doesn't know
        if name in KINDS
    }
    return Trial(attempts, document["facts"])

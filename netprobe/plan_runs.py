"""The runs of plans that were begun, so that one which was stopped can be continued."""

from __future__ import annotations

import uuid

from sqlalchemy import Engine, insert, select, update

from federation.clock import Clock
from federation.database import write
from federation.errors import InputError
from federation.units import format_age
from netprobe.plan import Plan
from netprobe.tables import plan_runs


class PlanRuns:
    """Runs in one database. Calls block; safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def begin(self, plan: Plan) -> str:
        """The id of a new run of `plan`."""
        run = str(uuid.uuid4())
        with write(self._engine) as connection:
            started = self._clock.now()
            connection.execute(insert(plan_runs).values(id=run, plan=plan.key, started=started))
        return run

    def unfinished(self, plan: Plan) -> str:
        """The id of the newest run of `plan`, which was stopped. Raises InputError where it wasn't."""
        query = select(plan_runs).where(plan_runs.c.plan == plan.key).order_by(plan_runs.c.started.desc())
        with self._engine.connect() as connection:
            newest = connection.execute(query.limit(1)).first()
        if newest is None:
            raise InputError(
                f"plan {plan.name}: no run to resume: it, as it stands now, was never run on this database"
            )
        if newest.finished is not None:
            ago = format_age((self._clock.now() - newest.finished).total_seconds())
            raise InputError(f"plan {plan.name}: no run to resume: the last one was finished {ago} ago")
        return str(newest.id)

    def finish(self, run: str) -> None:
        """Every test of the run has its result."""
        with write(self._engine) as connection:
            finished = self._clock.now()
            connection.execute(update(plan_runs).where(plan_runs.c.id == run).values(finished=finished))

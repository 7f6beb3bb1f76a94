"""Fairlead's own ledger of credits: what `fairlead credits serve` keeps for a cloud that has none.

[sites.perth.credits]
source = "fairlead"
[sites.perth.credits.options]
database = "postgresql://fairlead@db/credits"  # (as set for everything else)
project = "8a7a9248a0024f9dbca6e48d2824791d"   # its id; whose credits, unless a caller says
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import DBAPIError

from federation.about import About
from federation.clock import Clock
from federation.database import connect, upgrade
from federation.errors import OutsideError, one_line
from federation.settings import load_settings
from federation.sites import Credits, Site
from reservations.credits import Account, named_project
from reservations.enforcement.ledger import Ledger
from reservations.tables import Table


@dataclass(frozen=True)
class OwnLedger:
    """The ledger in the database that the options name."""

    ABOUT = About(
        does="Fairlead's own ledger, for a cloud that has none.",
        cannot="Counts what is booked, not what is used.",
    )

    site: Site
    credits: Credits
    clock: Clock

    def __post_init__(self) -> None:
        self._options()

    def accounts(self, project: str | None = None) -> Sequence[Account]:
        url, default, where = self._options()
        engine = connect(url)
        try:
            upgrade(engine)
            known = Ledger(engine, self.clock).accounts(named_project(project, default, where))
        except DBAPIError as error:
            shown = engine.url.render_as_string(hide_password=True)
            raise OutsideError(f"database {shown}: {one_line(error.orig)}") from None
        finally:
            engine.dispose()
        return [replace(account, left=max(account.left, 0.0)) for account in known]

    def _options(self) -> tuple[str, str | None, str]:
        options = Table(self.credits.options, f"[sites.{self.site.id}.credits.options]")
        url, project = options.text("database", None), options.text("project", None)
        options.end()
        return url or load_settings(None, os.environ).database_url, project, options.where

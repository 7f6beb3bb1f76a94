"""What the probe commands share: which sites, and which archive."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Engine

from fairlead.cli import opened
from fairlead.cli._database import at
from federation.catalogue import load_federation
from federation.errors import InputError
from federation.settings import load_settings
from federation.sites import Federation
from lab.state import state_dir
from netprobe.archive import Archive
from netprobe.plan import Plan, Planned, expand


def known_federation(catalogue: Path | None) -> Federation | None:
    """The sites of `catalogue`, else of the settings, else of the lab that is up; None where none are set."""
    lab = state_dir() / "sites.toml"
    chosen = catalogue or load_settings(None, os.environ).catalogue or (lab if lab.exists() else None)
    return None if chosen is None else load_federation(chosen)


def measured_federation(catalogue: Path | None) -> Federation:
    """As `known_federation`, where there must be some. Raises InputError."""
    found = known_federation(catalogue)
    if found is None:
        raise InputError(
            "no sites are named: expected --catalogue FILE, FAIRLEAD_CATALOGUE, or `fairlead lab up`"
        )
    return found


def planned_tests(path: Path, plan: Plan, federation: Federation) -> list[Planned]:
    """The tests that the plan in this file comes to. Raises InputError for what is wrong in it, and where it
    comes to none."""
    found = expand(plan, federation)
    if not found:
        raise InputError(
            f"{path}: no test comes of it: all sites are those with an iperf3_address in the catalogue, "
            "and there must be two"
        )
    return found


def opened_database(database: str | None) -> Engine:
    """The database at the URL `database`, else at that of the settings; made where it isn't there yet, and
    closed when the command has ended."""
    return opened.get().enter_context(at(database))


def opened_archive(database: str | None) -> Archive:
    """The archive in that database."""
    return Archive(opened_database(database))

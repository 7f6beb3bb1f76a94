"""What the commands share that work on the broker's database, beside the service or without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from federation.settings import Settings

SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        help="Settings (TOML) that name the database, as of `fairlead serve`.",
        show_default=False,
    ),
]


@contextmanager
def database(settings_file: Path | None) -> Iterator[tuple[Settings, Engine]]:
    """The settings as `fairlead serve` reads them, and the database that they name, with its tables."""
    from federation.database import connect, upgrade
    from federation.settings import load_settings

    settings = load_settings(settings_file, os.environ)
    engine = connect(settings.database_url)
    try:
        upgrade(engine)
        yield settings, engine
    finally:
        engine.dispose()


@contextmanager
def at(url: str | None) -> Iterator[Engine]:
    """The database at `url`, else at that of the settings, with its tables; closed at the end."""
    from federation.database import connect, upgrade
    from federation.settings import load_settings

    engine = connect(url or load_settings(None, os.environ).database_url)
    try:
        upgrade(engine)
        yield engine
    finally:
        engine.dispose()

"""A test's own broker as a process, which may be started anew on what the one before it has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fairlead.served import Served, start
from tests.broker.conversation import PASSWORD


@contextmanager
def serving(directory: Path) -> Iterator[Callable[[str], Served]]:
    """Starts a broker on a catalogue of that text, each time with the same database and work directory, and
    stops them all at the end."""
    catalogue = directory / "sites.toml"
    settings = {
        "HOME": str(directory),
        "FAIRLEAD_ADMIN_PASSWORD": PASSWORD,
        "FAIRLEAD_DATABASE_URL": f"sqlite:///{directory}/broker.db",
        "FAIRLEAD_WORK_DIRECTORY": str(directory / "work"),
    }
    with ExitStack() as started:

        def serve(text: str) -> Served:
            catalogue.write_text(text)
            served = start(["--catalogue", str(catalogue)], directory / "log", settings)
            started.callback(served.stop)
            return served

        yield serve

"""What draws the pages' figures."""

from __future__ import annotations

import threading
from functools import cache


@cache
def warm_up() -> None:
    """Import what draws, which takes seconds, while somebody types a password; once."""

    def load() -> None:
        import reports.path_history
        import reports.space_calendar  # noqa: F401

    threading.Thread(target=load, name="pages-warm-up", daemon=True).start()

"""What a back-end says of itself, for `fairlead plugins`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """The class attribute `ABOUT` of a tool, mesh, capacity source, source of credits, platform or catalogue.

    `does` and `cannot` are a sentence each, in a user's words. `modules` is what it imports beyond the
    core, and the extra `extra` of its package installs; `programs` are commands that it runs on the machine
    or the site's host that it works on.
    """

    does: str
    cannot: str
    modules: tuple[str, ...] = ()
    extra: str | None = None
    programs: tuple[str, ...] = ()

"""The front door: the `fairlead` command, the app that mounts everything, the demo, and the API of Python:

    import fairlead

    f = fairlead.open("sqlite:///fairlead.db", catalogue="sites.toml")
    f.measurements("throughput", since="7d")

Nothing of it is imported before it is asked for: the command starts as quickly as without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.api import Fairlead, open

__all__ = ["Fairlead", "open"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fairlead import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

"""How every page and report of ours is made from a template: what comes from outside is escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(folder: str = "templates") -> Environment:
    """The templates in a folder of this package. A name that a template doesn't get is an error."""
    return Environment(
        loader=PackageLoader("reports", folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

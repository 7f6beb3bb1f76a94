"""The pages' templates, and the words that they have for figures."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from federation.units import format_age, format_bits_per_second, format_price, format_seconds, format_size
from reports.templating import environment
from reservations.words import amount_words

STATIC = {"pages.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8"}

_ENVIRONMENT = environment("templates/pages")


def render(template: str, **values: Any) -> str:
    """One page as text."""
    return _ENVIRONMENT.get_template(template).render(**values)


@cache
def static(name: str) -> bytes:
    """A file of ours that pages load."""
    return files("reports.pages").joinpath("static", name).read_bytes()


@cache
def static_version(name: str) -> str:
    """Changes with the file, so that browsers may keep it for ever."""
    return hashlib.sha256(static(name)).hexdigest()[:12]


def instant(when: datetime | None) -> str:
    return "" if when is None else f"{when:%Y-%m-%d %H:%M}"


def second(when: datetime | None) -> str:
    return "" if when is None else f"{when:%Y-%m-%d %H:%M:%S}"


_ENVIRONMENT.filters |= {
    "instant": instant,
    "second": second,
    "price": format_price,
    "rate": format_bits_per_second,
    "seconds": format_seconds,
    "age": format_age,
    "size": format_size,
    "amounts": amount_words,
}
_ENVIRONMENT.globals |= {"static_version": static_version}

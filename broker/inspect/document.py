"""What was found in a FITS file, as a document: of the command and of the broker's API."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from broker.inspect.looking import Inspection


def inspection_document(found: Inspection, headers: bool) -> dict[str, Any]:
    """With `headers`, all cards too. What isn't known and what there is none of is left out."""
    document = _without_nothing(asdict(found))
    document["hdus"] = [_hdu(hdu, headers) for hdu in document.get("hdus", ())]
    document["advice"] = found.advice
    return document


def _hdu(hdu: dict[str, Any], headers: bool) -> dict[str, Any]:
    document = _without_nothing(hdu)
    if not headers:
        document.pop("header", None)
    if "columns" in document:
        document["columns"] = [_without_nothing(column) for column in document["columns"]]
    if "footprint" in document:
        document["footprint"] = [
            {"longitude": longitude, "latitude": latitude} for longitude, latitude in document["footprint"]
        ]
    return document


def _without_nothing(members: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in members.items()
        if value is not None and value != ()
    }

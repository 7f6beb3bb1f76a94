"""Where on the sky an image is: its corners by astropy, in a process of its own.

wcslib is C code, and headers come from anywhere: neither a crash nor an endless loop in it may take the
caller with it. `python -m broker.inspect.footprint` reads one JSON object on standard input,
{"headers": [...]}, and writes one: {"footprints": [...]}, for each its corners or null. It limits its own
memory and time.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from federation.aside import AsideError, aside, limit

Corners = tuple[tuple[float, float], ...]

_MODULE = "broker.inspect.footprint"
TIME_LIMIT_SECONDS = 30
_MEMORY_BYTES = 2 * 1024**3
# of one file: a mosaic camera has some hundreds
MOST_IMAGES = 200


def is_available() -> bool:
    """Whether astropy is there (the extra `fits`)."""
    return find_spec("astropy") is not None


def footprints(headers: Sequence[str]) -> list[Corners | None]:
    """The corners of each image, by its cards in one text; None where it has no coordinates on the sky, or
    none that can be told. Blocks for up to TIME_LIMIT_SECONDS."""
    few = list(headers[:MOST_IMAGES])
    nothing: list[Corners | None] = [None] * len(headers)
    try:
        found = aside(_MODULE, {"headers": few}, TIME_LIMIT_SECONDS)["footprints"]
    except AsideError:
        return nothing
    corners = [None if each is None else tuple((ra, dec) for ra, dec in each) for each in found]
    return corners + nothing[len(few) :]


def _corners(text: str) -> list[list[float]] | None:
    import numpy
    from astropy.io import fits
    from astropy.wcs import WCS

    header = fits.Header.fromstring(text)
    # tables of distortions lie in other HDUs, which were not read: they move a corner by some pixels
    for keyword in [keyword for keyword in header if keyword.startswith(("CPDIS", "DP", "D2IM"))]:
        header.remove(keyword, ignore_missing=True, remove_all=True)
    if header.get("ZIMAGE") is True:
        # the axes of the table say nothing of the image in it
        for number in range(1, header["ZNAXIS"] + 1):
            header[f"NAXIS{number}"] = header[f"ZNAXIS{number}"]
        header["NAXIS"] = header["ZNAXIS"]
    sky = WCS(header).celestial
    if sky.naxis != 2 or sky.array_shape is None:
        return None
    corners = sky.calc_footprint()
    if not numpy.isfinite(corners).all():
        return None
    return [[round(float(ra), 9), round(float(dec), 9)] for ra, dec in corners]


def main() -> int:
    """The command. Returns its exit status."""
    limit(TIME_LIMIT_SECONDS, _MEMORY_BYTES)
    found: list[Any] = []
    warnings.simplefilter("ignore")
    for text in json.load(sys.stdin)["headers"]:
        try:
            found.append(_corners(text))
        except Exception:  # whatever astropy and wcslib make of it: this one has no footprint
            found.append(None)
    json.dump({"footprints": found}, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

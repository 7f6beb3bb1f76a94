"""A small survey of the tests: tiles of sky with sources in them, and the table of those sources."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

SIDE, STEP_DEGREES = 200, 0.001
TILES, SOURCES_A_TILE = 6, 2


@dataclass(frozen=True)
class Survey:
    """`tiles` by name, and `sources`: all as the bytes of FITS files."""

    tiles: Mapping[str, bytes]
    sources: bytes


def survey() -> Survey:
    """The same each time."""
    random = np.random.default_rng(20261126)
    tiles, rows = {}, []
    rows_of_pixels, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(TILES):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crpix = [SIDE / 2, SIDE / 2]
        wcs.wcs.cdelt = [-STEP_DEGREES, STEP_DEGREES]
        wcs.wcs.crval = [150.0 + number, -30.0]
        sky = random.normal(0.0, 0.1, (SIDE, SIDE))
        for each in range(SOURCES_A_TILE):
            x, y = random.uniform(20, SIDE - 20, 2)
            sky += 5.0 * np.exp(-((columns - x) ** 2 + (rows_of_pixels - y) ** 2) / 8.0)
            place = wcs.pixel_to_world(x, y)
            rows.append((f"S{number}{each}", place.ra.deg, place.dec.deg))
        tiles[f"tile-{number}.fits"] = _bytes(fits.PrimaryHDU(sky.astype("f4"), wcs.to_header()))
    table = Table(rows=rows, names=("NAME", "RA", "DEC"))
    return Survey(tiles, _bytes(fits.table_to_hdu(table)))


def _bytes(hdu: fits.PrimaryHDU | fits.BinTableHDU) -> bytes:
    stream = io.BytesIO()
    hdu.writeto(stream)
    return stream.getvalue()

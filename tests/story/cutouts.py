"""What runs in the container: cut-outs around listed sources, from tiles of a survey.

    python cutouts.py TILES SOURCES RESULTS

Reads the FITS tiles below TILES and the FITS table SOURCES (NAME, RA, DEC in degrees); writes
RESULTS/cutouts.fits, an image for each source, and prints their sums as one JSON object.
"""

import json
import sys
from pathlib import Path

from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

HALF = 7  # pixels on each side of a source's


def cut(tiles: Path, sources: Path) -> fits.HDUList:
    """An image for each source that lies well within a tile, called after it."""
    wanted = Table.read(sources, format="fits")
    found = fits.HDUList([fits.PrimaryHDU()])
    for path in sorted(tiles.rglob("*.fits")):
        with fits.open(path) as tile:
            sky, wcs = tile[0].data, WCS(tile[0].header)
            places = wcs.all_world2pix(wanted["RA"], wanted["DEC"], 0)
            for name, *place in zip(wanted["NAME"], *places, strict=True):
                x, y = (round(float(each)) for each in place)
                if not (HALF <= x < sky.shape[1] - HALF and HALF <= y < sky.shape[0] - HALF):
                    continue
                part = slice(y - HALF, y + HALF + 1), slice(x - HALF, x + HALF + 1)
                header = wcs[part].to_header()
                header["TILE"] = path.name
                found.append(fits.ImageHDU(sky[part].copy(), header, name=str(name)))
    return found


if __name__ == "__main__":
    tiles, sources, results = map(Path, sys.argv[1:])
    images = cut(tiles, sources)
    images.writeto(results / "cutouts.fits", checksum=True)
    sys.stdout.write(json.dumps({image.name: float(image.data.sum()) for image in images[1:]}) + "\n")

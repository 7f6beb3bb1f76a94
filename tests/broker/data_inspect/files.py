"""FITS files of the tests, in memory: as astropy writes them, made by hand, and in hypothesis's way."""

import io

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from broker.inspect.cards import BLOCK_BYTES
from broker.inspect.describe import describe
from broker.inspect.walk import MOST_HEADER_BYTES, SourceError, walk


def sky(width, height):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150, 2], [width / 2, height / 2], [-1e-3, 1e-3]
    return wcs


def cube():
    header = sky(300, 400).to_header()
    header["BUNIT"] = "Jy/beam"
    image = np.zeros((20, 400, 300), "f4")
    rows = fits.BinTableHDU.from_columns([fits.Column("freq", "D", unit="Hz", array=np.arange(5000.0))])
    rows.name = "CHANNELS"
    buffer = io.BytesIO()
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(image, header, name="SCI"),
            fits.CompImageHDU(image[0], header),
            rows,
        ]
    ).writeto(buffer)
    return buffer.getvalue()


CUBE = cube()


class Bytes:
    """A file in memory; `most` bytes may be read of it."""

    def __init__(self, content, size_known=True, most=4 * 1024 * 1024):
        self.content, self.most = content, most
        self.size_bytes = len(content) if size_known else None
        self.reads, self.bytes = 0, 0

    def read(self, offset, length, last=None):
        assert length > 0
        self.reads += 1
        found = self.content[offset : offset + length]
        if last is not None:
            ends = range(BLOCK_BYTES, len(found) + 1, BLOCK_BYTES)
            found = found[: next((end for end in ends if last(found[end - BLOCK_BYTES : end])), len(found))]
        self.bytes += len(found)
        if self.bytes > self.most or self.reads > 5000:
            raise SourceError("too much")
        return found


def written(*hdus):
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer, output_verify="silentfix")
    return buffer.getvalue()


def described(content, **more):
    faults = []
    found = walk(Bytes(content, **more))
    return [describe(number, raw, faults) for number, raw in enumerate(found.hdus)], found.faults + faults


TYPES = ("uint8", "int16", "int32", "int64", "float32", "float64", "uint16", "uint32", "int8")
KEYS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=8).map(
    lambda text: "X" + text[:7]
)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=150)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.complex_numbers(allow_nan=False, allow_infinity=False),
)
CARDS = st.dictionaries(KEYS | KEYS.map(lambda text: f"HIERARCH ESO {text}"), VALUES, max_size=12)
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def with_cards(hdu, cards):
    for keyword, value in cards.items():
        try:
            hdu.header[keyword] = value
        except ValueError:  # more than one card can hold
            continue
    return hdu


@st.composite
def images(draw, of=fits.ImageHDU):
    data = np.zeros(draw(SHAPES), dtype=draw(st.sampled_from(TYPES)))
    return with_cards(of(data if draw(st.booleans()) else None), draw(CARDS))


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 5))
    columns = [
        fits.Column(f"c{number}", draw(st.sampled_from(("J", "3E", "12A", "L", "D", "PJ()"))), unit="Jy")
        for number in range(draw(st.integers(1, 4)))
    ]
    return with_cards(fits.BinTableHDU.from_columns(columns, nrows=rows), draw(CARDS))


FILES = st.tuples(images(of=fits.PrimaryHDU), st.lists(images() | tables(), max_size=5))
FILES_SETTINGS = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


def header(*cards):
    text = "".join(card.ljust(80)[:80] for card in (*cards, "END"))
    return text.ljust(-(-len(text) // BLOCK_BYTES) * BLOCK_BYTES).encode("latin-1")


def simple(*cards, bitpix="8", axes=()):
    lengths = [f"NAXIS{number} = {length}" for number, length in enumerate(axes, 1)]
    names = [f"{'SIMPLE':8}= T", f"{'BITPIX':8}= {bitpix}", f"{'NAXIS':8}= {len(axes)}"]
    return header(*names, *(f"{line.split(' = ')[0]:8}= {line.split(' = ')[1]}" for line in lengths), *cards)


EXTENSION = header("XTENSION= 'IMAGE   '", "BITPIX  = 8", "NAXIS   = 0", "PCOUNT  = 0", "GCOUNT  = 1")
LONGEST = MOST_HEADER_BYTES // 80 - 10


def image(cards, first=False, data=2_880_000):
    """An HDU with so many cards; hardly a piece reaches over so much data."""
    kind = ("SIMPLE  = T",) if first else ("XTENSION= 'IMAGE   '",)
    axes = ("BITPIX  = 8", "NAXIS   = 1", f"NAXIS1  = {data}", "PCOUNT  = 0", "GCOUNT  = 1")
    return header(*kind, *axes, *["HISTORY of it"] * (cards - len(axes) - 2)) + bytes(data)

"""From HDU to HDU of a FITS file, reading headers and skipping data. Standard library only.

A header is asked for in one piece that is as long as the longest so far, and data are never read. The rest of
one that is longer comes by one read more, however long it is. So a file takes one read for each HDU at most,
one more for a long first header, and one for each later header that is much longer than all before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from broker.inspect.cards import BLOCK_BYTES, CARD_BYTES, is_end, values
from broker.inspect.layout import LayoutError, read_layout

# what is asked for at first: instruments write 100 to 300 cards into the primary header, fewer into others
FIRST_BYTES = 8 * BLOCK_BYTES
NEXT_BYTES = 4 * BLOCK_BYTES
# 13,000 cards; the longest that we know of have some thousands
MOST_HEADER_BYTES = 364 * BLOCK_BYTES
MOST_HDUS = 1000

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "Zstandard",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress",
}


class SourceError(Exception):
    """The bytes can't be had, or no more of them may be read; one line."""


class NotFitsError(Exception):
    """It is no FITS file, or not one that can be read; one line that says what it is, or what is wrong."""


class Source(Protocol):
    """Where the bytes come from. `size_bytes` is of the whole file, None as long as nobody has said it."""

    @property
    def size_bytes(self) -> int | None: ...

    def read(self, offset: int, length: int, last: Callable[[bytes], bool] | None = None) -> bytes:
        """`length` bytes from `offset` on, fewer only at the end of the file, none behind it; and with `last`
        fewer where it says of a whole block, counted from `offset`, that what follows isn't needed.

        Raises SourceError.
        """
        ...


@dataclass(frozen=True)
class RawHdu:
    """Where an HDU is in the file, and its header up to the end of its last block."""

    offset: int
    header: bytes
    data_bytes: int

    @property
    def data_offset(self) -> int:
        return self.offset + len(self.header)


@dataclass
class Walk:
    """What was found; `faults` are one line each. `whole` is whether the last HDU was reached."""

    hdus: list[RawHdu] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    whole: bool = False


def walk(source: Source) -> Walk:
    """All HDUs that can be reached. Raises NotFitsError and SourceError where not even the first one can be
    read; what fails later is a fault."""
    found = Walk()
    window = _Window(source)
    offset, ask = 0, FIRST_BYTES
    while True:
        number = len(found.hdus)
        try:
            hdu, remark = _hdu(window, offset, ask, number)
        except (SourceError, NotFitsError) as problem:
            if not found.hdus:
                raise
            found.faults.append(f"HDU {number}, at byte {offset}: {problem}")
            return found
        if hdu is None:
            found.whole = True
            found.faults += [remark] if remark else []
            return found
        found.hdus.append(hdu)
        size, end = source.size_bytes, hdu.data_offset + hdu.data_bytes
        if size is not None and end > size:
            found.faults.append(f"truncated: HDU {number} ends at byte {end}, and the file has {size} bytes")
            return found
        offset = hdu.data_offset + -(-hdu.data_bytes // BLOCK_BYTES) * BLOCK_BYTES
        if size is not None and offset >= size:
            found.whole = True
            return found
        if len(found.hdus) == MOST_HDUS:
            found.faults.append(f"there are more than {MOST_HDUS} HDUs: the others were not looked at")
            return found
        ask = max(NEXT_BYTES, _expected(found.hdus))


def _expected(hdus: list[RawHdu]) -> int:
    """How long the next header may well be: as the longest of an extension; where these grow, twice as much
    more as the longest was more than the one before it, which also reaches one that is twice as long.

    Who writes long headers does so everywhere: before there is an extension, the first header is the guess.
    """
    longest = growth = 0
    for hdu in hdus[1:]:
        more = len(hdu.header) - longest
        if more > 0:
            longest, growth = len(hdu.header), more if longest else 0
    if growth:
        # headers end with a block, and what is twice as long may need one more
        return min(longest + 2 * growth + BLOCK_BYTES, MOST_HEADER_BYTES)
    return longest or len(hdus[0].header)


def _hdu(window: _Window, offset: int, ask: int, number: int) -> tuple[RawHdu | None, str]:
    """The HDU at `offset`; None where there is none, and a remark on what is there, if that matters."""
    first = window.block(offset, ask)
    if number == 0:
        _check_first(first)
    elif not first.startswith(b"XTENSION"):
        # files from tapes are filled up with nothing
        return None, f"at byte {offset}, what follows the last HDU is no HDU" if first.strip(b"\0 ") else ""
    header = _header(window, offset, ask)
    try:
        return RawHdu(offset, header, read_layout(values(header)).data_bytes), ""
    except LayoutError as problem:
        raise NotFitsError(str(problem)) from problem


class _Window:
    """The piece of the file that was read last."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start, self._bytes = 0, b""

    def block(self, offset: int, ask: int, last: Callable[[bytes], bool] | None = None) -> bytes:
        """The block at `offset`, shorter only at the end of the file; reads `ask` bytes if it must, or until
        `last` (see `Source.read`)."""
        at, size = offset - self._start, self._source.size_bytes
        if size is not None and offset >= size:
            return b""
        rest = len(self._bytes) - at
        at_end = size is not None and self._start + len(self._bytes) >= size
        if at < 0 or rest <= 0 or (rest < BLOCK_BYTES and not at_end):
            self._start, self._bytes, at = offset, self._source.read(offset, ask, last), 0
        return self._bytes[at : at + BLOCK_BYTES]


def _header(window: _Window, offset: int, ask: int) -> bytes:
    """The header at `offset`, all of its blocks."""
    header = bytearray()
    while True:
        if header:
            # nobody knows how much is missing: it is read as it comes, to its end
            block = window.block(offset + len(header), MOST_HEADER_BYTES - len(header), _has_end)
        else:
            block = window.block(offset, ask)
        header += block
        if _has_end(block):
            # a last block that isn't filled is forgiven: nothing follows
            return bytes(header).ljust(-(-len(header) // BLOCK_BYTES) * BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            raise NotFitsError(f"truncated: the file ends in a header, at byte {offset + len(header)}")
        if len(header) >= MOST_HEADER_BYTES:
            raise NotFitsError(f"the header has no END within {MOST_HEADER_BYTES} bytes")


def _has_end(block: bytes) -> bool:
    return any(is_end(block[at : at + CARD_BYTES]) for at in range(0, len(block), CARD_BYTES))


def _check_first(block: bytes) -> None:
    """Raises NotFitsError where the file doesn't begin as FITS files do."""
    if block.startswith(b"SIMPLE  ="):
        return
    for magic, name in _PACKED.items():
        if block.startswith(magic):
            raise NotFitsError(f"it is packed with {name}: all of it must be fetched to read its headers")
    if not block:
        raise NotFitsError("the file is empty")
    if block.lstrip()[:1] == b"<":
        raise NotFitsError("it is no FITS file, but a page (HTML or XML): often a login, or an error")
    raise NotFitsError("it is no FITS file: expected SIMPLE at its beginning")

"""The cards of a FITS header: their keywords and values (FITS 4.0, section 4). Standard library only.

Whatever the bytes are, they become cards: what can't be read as a value is None, as an undefined one is. Who
needs a value of one kind says what is wrong with it (`layout`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

CARD_BYTES = 80
BLOCK_BYTES = 2880

Value = str | bool | int | float | complex | None
Values = Mapping[str, Value]

# FITS allows printable ASCII alone; anything else could move a terminal's cursor, or be no XML
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))
_STRING = re.compile(r" *'((?:[^']|'')*)'")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[EDed][+-]?[0-9]+)?")
_COMPLEX = re.compile(r"\(\s*([^,()\s]+)\s*,\s*([^,()\s]+)\s*\)")
_HIERARCH = re.compile(r"HIERARCH +([^=]*[^=\s])\s*=(.*)", re.DOTALL)
_COMMENTARY = ("COMMENT", "HISTORY", "", "END", "CONTINUE")


def cards(header: bytes) -> list[str]:
    """The cards before END, each 80 characters; what isn't printable ASCII is a question mark."""
    text = header.translate(_PRINTABLE).decode("ascii")
    found = (text[start : start + CARD_BYTES] for start in range(0, len(text), CARD_BYTES))
    return list(_before_end(found))


def is_end(card: bytes) -> bool:
    """Whether the header ends with this card."""
    return card[:8] == b"END     "


def _before_end(found: Iterator[str]) -> Iterator[str]:
    for card in found:
        if is_end(card.encode("ascii")):
            return
        yield card.ljust(CARD_BYTES)


def values(header: bytes) -> dict[str, Value]:
    """Every keyword with a value; of one that is there twice, the first counts. HIERARCH ones without that
    word; texts over several cards (CONTINUE) are put together."""
    found: dict[str, Value] = {}
    # the keyword whose text may go on in the next card, and its pieces so far
    going_on: tuple[str, list[str]] | None = None
    for card in cards(header):
        if going_on is not None:
            keyword, pieces = going_on
            more = _value(card[10:]) if card.startswith("CONTINUE  ") else None
            if isinstance(more, str) and pieces[-1].endswith("&"):
                pieces[-1] = pieces[-1].removesuffix("&")
                pieces.append(more)
                continue
            found[keyword], going_on = "".join(pieces), None
        keyword, field = _split(card)
        if field is None or keyword in found:
            continue
        found[keyword] = value = _value(field)
        if isinstance(value, str) and value.endswith("&"):
            going_on = keyword, [value]
    if going_on is not None:
        found[going_on[0]] = "".join(going_on[1])
    return found


def _split(card: str) -> tuple[str, str | None]:
    """The keyword, and the text in which its value stands; None where it has none."""
    long = _HIERARCH.fullmatch(card) if card.startswith("HIERARCH ") else None
    if long is not None:
        return " ".join(long[1].split()).upper(), long[2]
    keyword = card[:8].rstrip()
    if keyword in _COMMENTARY or card[8:10] != "= ":
        return keyword, None
    return keyword, card[10:]


def _value(field: str) -> Value:
    text = _STRING.match(field)
    if text is not None:
        # leading spaces count, trailing ones don't
        return text[1].replace("''", "'").rstrip(" ")
    word = field.partition("/")[0].strip()
    if word in ("T", "F"):
        return word == "T"
    if _INTEGER.fullmatch(word):
        return int(word)
    parts = _COMPLEX.fullmatch(word)
    if parts is not None:
        real, imaginary = _real(parts[1]), _real(parts[2])
        return None if real is None or imaginary is None else complex(real, imaginary)
    return _real(word)


def _real(word: str) -> float | None:
    if not _REAL.fullmatch(word):
        return None
    number = float(word.upper().replace("D", "E"))
    return number if math.isfinite(number) else None

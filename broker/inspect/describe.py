"""What a header says of its HDU: of which sort it is, its shape, its units, what it takes to hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.inspect.cards import Value, Values, cards, values
from broker.inspect.layout import (
    LayoutError,
    is_random_groups,
    possible,
    product,
    read_axes,
    read_layout,
    whole,
)
from broker.inspect.walk import RawHdu

_TYPES: Mapping[int, str] = {
    8: "uint8",
    16: "int16",
    32: "int32",
    64: "int64",
    -32: "float32",
    -64: "float64",
}
# BZERO that turns the signed numbers of FITS into unsigned ones, and the other way round (section 4.4.2.5)
_UNSIGNED: Mapping[tuple[int, int], str] = {
    (8, -(2**7)): "int8",
    (16, 2**15): "uint16",
    (32, 2**31): "uint32",
    (64, 2**63): "uint64",
}
MOST_COLUMNS = 999


@dataclass(frozen=True)
class Column:
    """A column of a table; `format` is its TFORM. None: the header doesn't say it."""

    name: str | None
    format: str | None
    unit: str | None


@dataclass(frozen=True)
class Hdu:
    """One HDU. `kind` is image, compressed image, table, ascii table, random groups, empty, or the XTENSION
    of one that FITS itself doesn't know.

    `shape` is as numpy has it, the last axis of the header first; of a table, its rows. `bitpix` and `shape`
    of a compressed image are those of the image in it. `data_type` is that of the numbers once they are
    scaled. `memory_bytes` is what they take then; of a table, as it is in the file. `footprint` are the
    corners of an image on the sky, in degrees of the header's own coordinates, as `axes` names them: (right
    ascension, declination), or (longitude, latitude). `header` are its cards.
    """

    number: int
    kind: str
    name: str | None
    version: int | None
    bitpix: int
    shape: tuple[int, ...]
    data_type: str | None
    unit: str | None
    header_offset: int
    header_bytes: int
    data_bytes: int
    memory_bytes: int
    columns: tuple[Column, ...] = ()
    axes: tuple[str, ...] = ()
    footprint: tuple[tuple[float, float], ...] | None = None
    header: tuple[str, ...] = field(default=(), repr=False)


def describe(number: int, raw: RawHdu, faults: list[str]) -> Hdu:
    """The HDU whose header was read; what contradicts itself in it is added to `faults`."""
    found = values(raw.header)
    layout = read_layout(found)
    kind = _kind(found, layout.axes, raw.data_bytes)
    bitpix, axes, columns = layout.bitpix, layout.axes, ()  # type: int, tuple[int, ...], tuple[Column, ...]
    memory, data_type = raw.data_bytes, None  # type: int, str | None
    try:
        if kind == "compressed image":
            bitpix, axes = whole(found, "ZBITPIX"), read_axes(found, "ZNAXIS")
            if bitpix not in _TYPES:
                raise LayoutError(f"ZBITPIX is {bitpix}: expected one of {', '.join(map(str, _TYPES))}")
        if kind in ("image", "compressed image", "random groups"):
            data_type = _data_type(found, bitpix)
        if kind in ("image", "compressed image"):
            memory = possible(product(axes) * _item_bytes(data_type)) if axes else 0
        if kind in ("table", "ascii table"):
            columns = _columns(found)
            # NAXIS1 is the bytes of a row
            axes = axes[1:2]
    except LayoutError as problem:
        faults.append(f"HDU {number}: {problem}")
    return Hdu(
        number=number,
        kind=kind,
        name=_text(found.get("EXTNAME")),
        version=_version(found.get("EXTVER")),
        bitpix=bitpix,
        shape=axes[::-1],
        data_type=data_type,
        unit=_text(found.get("BUNIT")),
        header_offset=raw.offset,
        header_bytes=len(raw.header),
        data_bytes=raw.data_bytes,
        memory_bytes=memory,
        columns=columns,
        axes=_axis_names(found, len(axes)) if kind in ("image", "compressed image") else (),
        header=tuple(card.rstrip() for card in cards(raw.header)),
    )


def _kind(found: Values, axes: tuple[int, ...], data_bytes: int) -> str:
    extension = _text(found.get("XTENSION"))
    if extension == "BINTABLE":
        return "compressed image" if found.get("ZIMAGE") is True else "table"
    if extension == "TABLE":
        return "ascii table"
    if extension not in (None, "IMAGE"):
        return str(extension)
    if is_random_groups(found, axes):
        return "random groups"
    return "image" if data_bytes else "empty"


def _data_type(found: Values, bitpix: int) -> str:
    """As astropy does it: unsigned by the convention, else integers that are scaled, or have a BLANK, become
    floats that are wide enough."""
    scale, zero = _number(found.get("BSCALE"), 1), _number(found.get("BZERO"), 0)
    scaled = scale != 1 or zero != 0
    if bitpix < 0 or not (scaled or "BLANK" in found):
        return _TYPES[bitpix]
    if scale == 1 and zero == int(zero) and (bitpix, int(zero)) in _UNSIGNED:
        return _UNSIGNED[bitpix, int(zero)]
    return "float64" if bitpix > 16 else "float32"


def _item_bytes(data_type: str | None) -> int:
    return int((data_type or "").lstrip("uintfloa")) // 8


def _columns(found: Values) -> tuple[Column, ...]:
    count = whole(found, "TFIELDS", least=0, most=MOST_COLUMNS)
    texts = (
        tuple(_text(found.get(f"{keyword}{number}")) for keyword in ("TTYPE", "TFORM", "TUNIT"))
        for number in range(1, count + 1)
    )
    return tuple(Column(*each) for each in texts)


def _axis_names(found: Values, count: int) -> tuple[str, ...]:
    """What the axes are (CTYPE), in the order of the shape; empty where the header says it of none."""
    names = [_text(found.get(f"CTYPE{number}")) or "" for number in range(count, 0, -1)]
    return tuple(names) if any(names) else ()


def _number(value: Value, default: float) -> float:
    return default if isinstance(value, bool) or not isinstance(value, int | float) else value


def _version(value: Value) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**31:
        return None
    return value


def _text(value: Value) -> str | None:
    return value or None if isinstance(value, str) else None

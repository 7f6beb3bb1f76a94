"""How large the data of an HDU are, by its header (FITS 4.0, sections 4.4.1 and 6).

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.inspect.cards import BLOCK_BYTES, Values

BITPIX = (8, 16, 32, 64, -32, -64)
MOST_AXES = 999
# 9 PB: no file is as large, and larger numbers are not exact in every reader of JSON
MOST_BYTES = 2**53


class LayoutError(ValueError):
    """The header doesn't say how large the data are; one line that names the keyword and its value."""


@dataclass(frozen=True)
class Layout:
    """`axes` as in the header, NAXIS1 first. `data_bytes` without what fills the last block."""

    bitpix: int
    axes: tuple[int, ...]
    data_bytes: int

    @property
    def blocks_bytes(self) -> int:
        """The bytes that the data take in the file."""
        return -(-self.data_bytes // BLOCK_BYTES) * BLOCK_BYTES


def read_layout(values: Values) -> Layout:
    """Raises LayoutError."""
    bitpix = whole(values, "BITPIX")
    if bitpix not in BITPIX:
        raise LayoutError(f"BITPIX is {bitpix}: expected one of {', '.join(map(str, BITPIX))}")
    axes = read_axes(values, "NAXIS")
    parameters = whole(values, "PCOUNT", least=0, most=MOST_BYTES, default=0)
    groups = whole(values, "GCOUNT", least=0, most=MOST_BYTES, default=1)
    # in random groups NAXIS1 is 0, and isn't an axis
    counted = axes[1:] if is_random_groups(values, axes) else axes
    elements = product(counted) if counted else 0
    size = abs(bitpix) // 8 * groups * (parameters + elements) if axes else 0
    return Layout(bitpix, axes, possible(size))


def is_random_groups(values: Values, axes: tuple[int, ...]) -> bool:
    """Whether the primary data are random groups, as radio interferometers wrote them."""
    return "SIMPLE" in values and values.get("GROUPS") is True and axes[:1] == (0,)


def read_axes(values: Values, keyword: str) -> tuple[int, ...]:
    """The lengths of the axes, first one first: of `keyword` NAXIS, or of a compressed image ZNAXIS.

    Raises LayoutError.
    """
    count = whole(values, keyword, least=0, most=MOST_AXES)
    names = [f"{keyword}{number}" for number in range(1, count + 1)]
    return tuple(whole(values, name, least=0, most=MOST_BYTES) for name in names)


def product(numbers: tuple[int, ...]) -> int:
    """Raises LayoutError where it is more than a file can have, before it grows beyond all bounds."""
    if 0 in numbers:
        return 0
    found = 1
    for number in numbers:
        found = possible(found * number)
    return found


def possible(size: int) -> int:
    """`size`; raises LayoutError where it is more than a file can have."""
    if size > MOST_BYTES:
        raise LayoutError("the data would take more bytes than any file can have")
    return size


def whole(
    values: Values,
    keyword: str,
    least: int | None = None,
    most: int | None = None,
    default: int | None = None,
) -> int:
    """A whole number; `default` where the keyword isn't there. Raises LayoutError."""
    if keyword not in values and default is not None:
        return default
    found = values.get(keyword)
    if keyword not in values:
        raise LayoutError(f"{keyword} is missing")
    if isinstance(found, bool) or not isinstance(found, int):
        raise LayoutError(f"{keyword} is {_shown(found)}: expected a whole number")
    if (least is not None and found < least) or (most is not None and found > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise LayoutError(f"{keyword} is {_shown(found)}: expected {limits}")
    return found


def _shown(value: object) -> str:
    return "no value" if value is None else repr(value)[:40]

"""The mesh as a picture: two heat maps, throughput and round trip, with figures in cells where they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from federation.errors import OutsideError
from federation.units import format_bits_per_second, format_seconds
from reports.matrix import Cell, Matrix, State

# Both maps are safe for the colour-blind and keep their order when printed grey.
_GREY = "#e9e9ec"
_INK = "#1d1d26"
_FAILED = "#b3261e"
# Inches: a cell of a small mesh, the smallest that can be told apart, the smallest that a figure fits in, and
# how wide a map is of which the cells are between these.
_CELL, _LEAST_CELL, _WITH_FIGURE, _MAP = 1.15, 0.16, 0.55, 13.0


@dataclass(frozen=True)
class _Panel:
    title: str
    cells: dict[tuple[str, str], Cell]
    colours: str
    words: Callable[[float], str]


def draw(matrix: Matrix, path: Path, now: datetime) -> None:
    """Write a PNG. Raises OutsideError where `path` can't be written."""
    sites = list(matrix.federation.sites)
    panels = [
        _Panel("Throughput of one TCP stream", matrix.throughput, "viridis", format_bits_per_second),
        # dark is bad in both: slow there, far away here
        _Panel("Round trip", matrix.round_trip, "cividis_r", format_seconds),
    ]
    cell = min(_CELL, max(_MAP / max(len(sites), 1), _LEAST_CELL))
    side = max(cell * len(sites), 4.0)
    figure = Figure(figsize=(2 * side + 2.6, side + 1.2), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"Measured paths of {matrix.federation.name}, {now:%Y-%m-%d %H:%M} UTC", color=_INK, fontsize=13
    )
    for axes, panel in zip(figure.subplots(1, 2), panels, strict=True):
        _draw_panel(figure, axes, panel, matrix, cell)
    figure.supxlabel(
        "Median of the tests, newer ones counting more. Hatched: tested, none succeeded. Grey: not tested.",
        fontsize=9,
        color=_INK,
    )
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise OutsideError(f"{path}: the picture can't be written: {error.strerror}") from error


def _draw_panel(figure: Figure, axes: Any, panel: _Panel, matrix: Matrix, inches: float) -> None:
    sites = list(matrix.federation.sites)
    values = matrix.values(panel.cells).to_numpy()
    known = values[np.isfinite(values)]
    axes.set_facecolor(_GREY)
    norm = _norm(known)
    if known.size:
        image = axes.imshow(np.ma.masked_invalid(values), cmap=panel.colours, norm=norm)
        bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02)
        ticks = _ticks(float(norm.vmin or 1), float(norm.vmax or 10))
        bar.set_ticks(ticks, labels=[panel.words(tick) for tick in ticks])
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=8)
    for row, source in enumerate(sites):
        for column, destination in enumerate(sites):
            cell = panel.cells[source, destination]
            _draw_cell(axes, panel, cell, (row, column), norm, inches)
    names = [matrix.federation[site].name for site in sites]
    axes.set(xlim=(-0.5, len(sites) - 0.5), ylim=(len(sites) - 0.5, -0.5), aspect="equal")
    turn, size = (30, 10.0) if inches > _WITH_FIGURE else (90, max(72 * 0.75 * inches, 7.0))
    size = min(size, 10.0)
    axes.set_xticks(
        range(len(sites)), names, rotation=turn, ha="right", rotation_mode="anchor", fontsize=size
    )
    axes.set_yticks(range(len(sites)), names, fontsize=size)
    axes.set_xticks(np.arange(-0.5, len(sites)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(sites)), minor=True)
    axes.grid(which="minor", color="white", linewidth=min(2.0, 4 * inches))
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("to")
    axes.set_ylabel("from")
    axes.set_title(panel.title, fontsize=11, color=_INK)


def _draw_cell(
    axes: Any, panel: _Panel, cell: Cell, place: tuple[int, int], norm: LogNorm, inches: float
) -> None:
    row, column = place
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": min(9.0, 10 * inches)}
    written = inches >= _WITH_FIGURE
    if cell.state is State.MEASURED and cell.value is not None and written:
        red, green, blue, _ = colormaps[panel.colours](norm(cell.value))
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        text = panel.words(cell.value).replace(" ", "\n")
        axes.text(column, row, text, color=_INK if bright else "white", **style)
    elif cell.state is State.FAILED:
        box = Rectangle(
            (column - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor=_FAILED, hatch="////", lw=0
        )
        axes.add_patch(box)
        if written:
            label = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}
            axes.text(column, row, f"{cell.failed}\nfailed", color=_FAILED, bbox=label, **style)
    elif written and cell.state is not State.MEASURED:
        words = "" if cell.state is State.SELF else "not\ntested"
        axes.text(column, row, words, color="#6b6b76", **style)


def _norm(known: Any) -> LogNorm:
    """A logarithmic scale over the values; a little room where they are all the same."""
    if not known.size:
        return LogNorm(1, 10)
    low, high = float(known.min()), float(known.max())
    return LogNorm(low, high) if high > low * 1.02 else LogNorm(low / 1.5, high * 1.5)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within the range."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [
        step * 10.0**decade for decade in decades for step in (1, 2, 5) if low <= step * 10.0**decade <= high
    ]

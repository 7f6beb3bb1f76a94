"""How pictures of reports are made: matplotlib, as SVG in which text stays text, the same bytes each time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.colours import INK, PALE


class Drawing:
    """A figure to draw on, and after the block its SVG."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.svg = Markup("")

    def axes(self, *arguments: Any, **options: Any) -> Any:
        """As Figure.subplots, without the frame's upper and right edges."""
        found = self.figure.subplots(*arguments, **options)
        for one in found.flat if hasattr(found, "flat") else [found]:
            one.spines[["top", "right"]].set_visible(False)
        return found


@contextmanager
def drawing(width_inches: float, height_inches: float) -> Iterator[Drawing]:
    """`with drawing(8, 3) as sheet: axes = sheet.axes()`; then `sheet.svg`, to stand within HTML."""
    style: Any = {
        # text stays text, and nothing random gets in
        "svg.fonttype": "none",
        "svg.hashsalt": "fairlead",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": PALE,
        "xtick.color": PALE,
        "ytick.color": PALE,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        FigureCanvasAgg(figure)
        sheet = Drawing(figure)
        yield sheet
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        # within HTML it has neither an XML declaration nor a document type
        text = re.sub(r"^.*?(?=<svg)", "", stream.getvalue().decode(), flags=re.DOTALL)
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        # our own drawing: matplotlib escapes the text in it
        sheet.svg = Markup(text)

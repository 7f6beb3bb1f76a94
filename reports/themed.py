"""Pictures within pages: matplotlib's SVG, in the page's own colours, light and dark.

A page that has one gives these names colours in its style sheet.
"""

from __future__ import annotations

import re

from markupsafe import Markup

# what the drawing code paints with, and what the style sheet calls it
_THEMED = {
    "#1d1d26": "--ink",
    "#000000": "--ink",
    "#ffffff": "--paper",
    "#2a6f97": "--tests",
    "#a9b4bd": "--pale",
    "#e07a1f": "--forecast",
    "#b3261e": "--bad",
    # of the calendar; who holds what has the same colour in light and dark
    "#6b6b76": "--pale",
    "#f1f1f4": "--track",
    "#fafafc": "--night",
    "#d4d4da": "--line",
    "#c8d9e8": "--total",
    "#0072b2": "--ours",
}
_COLOUR = re.compile("|".join(_THEMED))


def inline(svg: bytes) -> Markup:
    """A picture to stand in a page: without what only a file of its own has, in the page's own colours."""
    text = re.sub(r"^.*?(?=<svg)", "", svg.decode(), flags=re.DOTALL)
    # the pages' policy allows no style sheet but their own, which says the same
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = _COLOUR.sub(lambda found: f"var({_THEMED[found[0]]})", text)
    # our own drawing: matplotlib escapes the text in it
    return Markup(text)

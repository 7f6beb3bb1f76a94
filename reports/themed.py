"""Pictures within pages: SVG in the page's own colours, light and dark.

A page that has one gives these names colours in its style sheet. What is written on a colour that stays
(`reports.colours.ink_on`) stays, too.
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
    # of the reports
    "#63636e": "--pale",
    "#e9e9ec": "--track",
    "#d9d9e0": "--line",
    "#8f5d00": "--mesh",
    "#dcdce2": "--nothing",
    "#00684c": "--same",
}
_COLOUR = re.compile("|".join(_THEMED))


def inline(svg: bytes) -> Markup:
    """A picture to stand in a page: without what only a file of its own has, in the page's own colours."""
    text = re.sub(r"^.*?(?=<svg)", "", svg.decode(), flags=re.DOTALL)
    # the pages' policy allows no style sheet but their own, which says the same
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    # our own drawing: matplotlib escapes the text in it
    return themed(Markup(text))


def themed(svg: Markup) -> Markup:
    """The same of one that stands in a page already."""
    return Markup(_COLOUR.sub(lambda found: f"var({_THEMED[found[0]]})", svg))

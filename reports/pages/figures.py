"""Pictures within pages: matplotlib's SVG, in the page's own colours, light and dark."""

from __future__ import annotations

import re
import threading
from functools import cache

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
}
_COLOUR = re.compile("|".join(_THEMED))


@cache
def warm_up() -> None:
    """Import what draws, which takes seconds, while somebody types a password; once."""

    def load() -> None:
        import reports.path_history
        import reports.space_calendar  # noqa: F401

    threading.Thread(target=load, name="pages-warm-up", daemon=True).start()


def inline(svg: bytes, themed: bool = True) -> Markup:
    """A picture to stand in a page: without what only a file of its own has.

    `themed` False: the colours stay, for a picture on white paper.
    """
    text = re.sub(r"^.*?(?=<svg)", "", svg.decode(), flags=re.DOTALL)
    # the page's policy allows no style sheet but ours, which says the same
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    if themed:
        text = _COLOUR.sub(lambda found: f"var({_THEMED[found[0]]})", text)
    # our own drawing: matplotlib escapes the text in it
    return Markup(text)

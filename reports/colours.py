"""The colours of words and lines in pictures of reports, and of words on any other colour."""

from __future__ import annotations

INK, PALE, TRACK = "#1d1d26", "#6b6b76", "#e9e9ec"
# what is written on a colour: it stays as it is where a page is dark, as the colour does
ON_BRIGHT, ON_DARK = "#050508", "#fdfdfd"


def ink_on(colour: str) -> str:
    """Of the two, what can be read better on "#rrggbb" (WCAG 2.2's contrast)."""
    light = _luminance(colour)
    on_dark = (_luminance(ON_DARK) + 0.05) / (light + 0.05)
    on_bright = (light + 0.05) / (_luminance(ON_BRIGHT) + 0.05)
    return ON_DARK if on_dark > on_bright else ON_BRIGHT


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

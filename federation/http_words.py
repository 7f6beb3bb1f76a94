"""What went wrong with an HTTP request, in words: some errors have none."""

from __future__ import annotations

from federation.errors import one_line

_WORDS = {
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "no answer in time",
    "TimeoutError": "no answer in time",
    "WriteTimeout": "it took no data in time",
    "PoolTimeout": "too many requests at once",
    "ReadError": "the connection broke while an answer was read",
    "WriteError": "the connection broke while it was asked",
    "CloseError": "the connection broke while it was closed",
}


def in_words(error: Exception) -> str:
    """One line; never empty."""
    name = type(error).__name__
    return one_line(error) or _WORDS.get(name, name)

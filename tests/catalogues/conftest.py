"""The fixtures of the tests of catalogues."""

from tests.catalogues.patience import patient

__all__ = ["patient"]

"""The fixtures of the contract tests."""

from tests.catalogues.patience import patient
from tests.contracts.platform_cases import case, cluster, image, rest, server

__all__ = ["case", "cluster", "image", "patient", "rest", "server"]

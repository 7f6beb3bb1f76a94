"""The fixtures of the contract tests of platforms."""

from tests.contracts.platform_cases import case, cluster, image, rest, server

__all__ = ["case", "cluster", "image", "rest", "server"]

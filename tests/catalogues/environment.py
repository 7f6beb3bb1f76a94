"""The servers that the catalogues are held against, in a Python environment of their own."""

from __future__ import annotations

from pathlib import Path

from tests.tool_environments import ToolEnvironment

_SERVERS = ToolEnvironment(
    "catalogues", "what the catalogues are tested with", Path(__file__).with_name("requirements.txt")
)


def python() -> Path:
    """Its interpreter."""
    return _SERVERS.programs() / "python"

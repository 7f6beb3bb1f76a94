"""Rucio's server in a Python environment of its own: it pins old libraries, and is a tool of tests alone."""

from __future__ import annotations

from pathlib import Path

from tests.tool_environments import ToolEnvironment

_RUCIO = ToolEnvironment("rucio", "Rucio", Path(__file__).with_name("requirements.txt"))


def programs() -> Path:
    """The directory with its interpreter and commands."""
    return _RUCIO.programs()

"""Pages of the documentation that have their source elsewhere in the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from broker.contract.message_kinds import page


def on_files(files: Files, config: Any) -> Files:
    """CHANGELOG.md lies where people look for it, and is a page too; messages are explained by the broker."""
    source = Path(config["config_file_path"]).parent / "CHANGELOG.md"
    files.append(File.generated(config, "changelog.md", content=source.read_text(encoding="utf-8")))
    files.append(File.generated(config, "messages.md", content=page()))
    return files

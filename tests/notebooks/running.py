"""Runs a notebook as a reader would: from a copy of the folder, in a kernel of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CELL_SECONDS = 300


def run(name: str, asked: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Execute the notebook in a copy of its folder below `folder`. Returns what the expressions `asked` are worth
    at its end, by their names. Raises CellExecutionError for a cell that fails."""
    copy = folder / "notebooks"
    shutil.copytree(NOTEBOOKS, copy)
    notebook = nbformat.read(copy / f"{name}.ipynb", as_version=4)
    said = ", ".join(f"{key!r}: {expression}" for key, expression in asked.items())
    last = f"import json\nprint(json.dumps({{{said}}}, default=lambda one: one.item()))"
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    environment = {
        **os.environ,
        # nothing of whoever runs this is read or changed, and nothing listens on a port
        **dict.fromkeys(("HOME", "IPYTHONDIR", "XDG_DATA_HOME"), str(folder)),
        "PYTHONWARNINGS": "error::DeprecationWarning:__main__,error::FutureWarning:__main__",
    }
    # sockets have short paths
    with TemporaryDirectory() as sockets:
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        NotebookClient(
            notebook, km=manager, timeout=CELL_SECONDS, resources={"metadata": {"path": str(copy)}}
        ).execute(env=environment)
    (printed,) = [one["text"] for one in notebook.cells[-1].outputs if one.get("name") == "stdout"]
    found: dict[str, Any] = json.loads(printed)
    return found


def source_of(name: str) -> dict[str, Any]:
    """The notebook as it is stored."""
    document: dict[str, Any] = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    return document

"""Runs notebooks as a reader would, from a copy of their folder.

One kernel runs them all, and forgets every name in between: what takes long is to start one and to import
pandas and matplotlib.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CELL_SECONDS = 300


class Runner:
    """A kernel in a copy of the notebooks' folder."""

    def __init__(self, folder: Path, manager: AsyncKernelManager) -> None:
        self._copy, self._manager = folder / "notebooks", manager
        shutil.copytree(NOTEBOOKS, self._copy)
        # nothing of whoever runs this is read or changed
        own = dict.fromkeys(("HOME", "IPYTHONDIR", "XDG_DATA_HOME", "TMPDIR"), str(folder))
        warned = "error::DeprecationWarning:__main__,error::FutureWarning:__main__"
        self._environment = {**os.environ, **own, "PYTHONWARNINGS": warned}

    def run(self, name: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """Execute the notebook. Returns what the expressions `asked` are worth at its end, by their names.

        Raises CellExecutionError for a cell that fails.
        """
        notebook = nbformat.read(self._copy / f"{name}.ipynb", as_version=4)
        said = ", ".join(f"{key!r}: {expression}" for key, expression in asked.items())
        last = f"import json\nprint(json.dumps({{{said}}}, default=lambda one: one.item()))"
        notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
        notebook.cells.append(nbformat.v4.new_code_cell(last))
        client = NotebookClient(
            notebook,
            km=self._manager,
            timeout=CELL_SECONDS,
            startup_timeout=CELL_SECONDS,
            resources={"metadata": {"path": str(self._copy)}},
        )
        try:
            client.execute(env=self._environment)
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
        (printed,) = [one["text"] for one in notebook.cells[-1].outputs if one.get("name") == "stdout"]
        found: dict[str, Any] = json.loads(printed)
        return found


@contextmanager
def runner(folder: Path) -> Iterator[Runner]:
    """One that works below `folder`; its kernel listens on no port, and ends with the block."""
    # sockets have short paths
    with TemporaryDirectory() as sockets:
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        try:
            yield Runner(folder, manager)
        finally:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)()


def source_of(name: str) -> dict[str, Any]:
    """The notebook as it is stored."""
    document: dict[str, Any] = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    return document

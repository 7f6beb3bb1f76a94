"""The notebooks' code runs on a real archive, and they are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from federation.clock import SystemClock
from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.recorded import load_recorded

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'fairlead.db'}"
    engine = connect(url)
    upgrade(engine)
    load_recorded(Archive(engine), SystemClock().now())
    engine.dispose()
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", url)
    names: dict[str, Any] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            exec(compile("".join(cell["source"]), f"{path.name}:{cell['id']}", "exec"), names)
    assert len(names["throughput"]) > 0
    assert len(names["latency"]) > 0

"""The ```python blocks of docs/python.md and README.md run, one after the other, as a reader types them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.chdir(ROOT)
    found: dict[str, Any] = {}
    yield found
    if "f" in found:
        found["f"].close()


def run_blocks(page: Path, names: dict[str, Any]) -> int:
    """How many there are."""
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        # where it is, so that a traceback points into the page
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + textwrap.dedent(block[1]), str(page), "exec"), names)
    return len(blocks)


def test_the_readme_runs(names: dict[str, Any]) -> None:
    assert run_blocks(ROOT / "README.md", names) == 1
    assert len(names["f"].forecast("perth", "lausanne", size="1 TB")) == 1


def test_the_examples_run(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_blocks(ROOT / "docs" / "python.md", names) >= 6
    said = capsys.readouterr().out
    assert "comparisons agree" in said
    assert "destination: expected one of perth, manchester" in said


def test_the_page_names_every_method() -> None:
    import fairlead
    from fairlead.api import Space

    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    public = [name for name in vars(fairlead.Fairlead) if not name.startswith("_")]
    named = [name for name in public if name not in ("now", "federation")]
    assert all(f"`{name}(" in text or f"f.{name}" in text for name in named), named
    assert all(f"f.space.{name}(" in text for name in vars(Space) if not name.startswith("_"))

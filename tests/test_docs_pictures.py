"""The pictures of the documentation: each that is shown is there, and each that is there is shown."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.compile(r"!\[(?P<instead>[^\]]*)\]\((?P<file>[^)\s]+)\)")


def test_every_picture_is_there_and_shown_with_words_for_who_does_not_see_it() -> None:
    shown = [(page, found) for page in PAGES for found in SHOWN.finditer(page.read_text(encoding="utf-8"))]
    assert all(found["instead"] for _, found in shown)
    files = {(page.parent / found["file"]).resolve() for page, found in shown}
    assert files == set((ROOT / "docs" / "pictures").iterdir())

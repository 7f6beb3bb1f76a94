"""Every piece of a catalogue, of a plan or of settings that the documentation shows is accepted."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.catalogues import load_catalogues
from broker.contract import kinds
from federation.catalogue import load_federation
from federation.clock import SystemClock
from federation.settings import load_settings
from netprobe.plan import load_plan
from reservations.credits import load_credits
from reservations.sources import load_sources

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLAN_TABLES = {"mesh", "star", "pairs", "groups", "bottleneck", "calendars", "budget", "defaults"}
# what the example of a package outside this tree adds
OTHERS = "bubblewrap"
# what a piece of a catalogue leaves out
SITE = '\n[sites.{id}]\nname = "{id}"\nlatitude = 0.0\nlongitude = 0.0\n'
PLATFORM = '\n[sites.{id}.platform]\nkind = "simulated"\ncores = 4\nmemory = "8 GiB"\nstorage = "1 TB"\n'


@dataclass(frozen=True)
class Piece:
    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def pieces() -> list[Piece]:
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        found += [
            Piece(page, text.count("\n", 0, block.start(1)) + 1, block[1]) for block in BLOCK.finditer(text)
        ]
    return found


PIECES = pieces()


def test_there_are_pieces() -> None:
    assert len(PIECES) > 10


@pytest.mark.parametrize("piece", PIECES, ids=str)
def test_a_piece_is_accepted(piece: Piece, tmp_path: Path) -> None:
    document, file = tomllib.loads(piece.text), tmp_path / "piece.toml"
    if "project" in document:
        assert all(group.startswith("fairlead.") for group in document["project"]["entry-points"])
    elif "sites" in document or "catalogues" in document:
        # a platform of somebody else's package is held to what it says by that package's own tests
        file.write_text(catalogue(piece.text, document).replace(f'"{OTHERS}"', '"simulated"'))
        federation = load_federation(file)
        load_catalogues(federation, False)
        load_sources(federation, SystemClock())
        for site in federation:
            load_credits(site, SystemClock())
    elif PLAN_TABLES & set(document):
        # the smallest plan around a piece that measures nothing by itself
        measures = {"mesh", "star", "pairs"} & set(document)
        file.write_text(piece.text + ("" if measures else '\n[[mesh]]\ntool = "ping"\n'))
        load_plan(file)
    else:
        file.write_text(piece.text)
        load_settings(file, {"HOME": str(tmp_path)})


def test_kinds_of_components_are_the_wires() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.yaml")]
    known = {value for value in vars(kinds).values() if isinstance(value, str)}
    named = [
        (page.name, kind)
        for page in pages
        for kind in re.findall(r"https://\S+?/kinds/\S+?\.yaml", page.read_text())
    ]
    assert named
    assert [(page, kind) for page, kind in named if kind not in known] == []


def catalogue(text: str, document: Mapping[str, Any]) -> str:
    """The piece with what every site must have; tables that it begins itself get the rest there. One
    that has a name is a whole catalogue."""
    if "name" in document:
        return text
    whole = f'name = "piece"\n{text}'
    if "sites" not in document:
        return whole + SITE.format(id="perth")
    for site, table in document["sites"].items():
        header = f"[sites.{site}]\n"
        if header in whole:
            whole = whole.replace(header, SITE.format(id=site).lstrip(), 1)
        else:
            whole += SITE.format(id=site)
        if "options" in table.get("platform", {}) and "kind" not in table["platform"]:
            whole += PLATFORM.format(id=site)
    return whole

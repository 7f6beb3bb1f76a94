"""A `Document` laid out: as a page, in Markdown, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.document import Document, Section, Table, cells, instants, left_out, markdown_table
from reports.templating import environment
from reports.themed import themed

if TYPE_CHECKING:
    import pandas as pd

_TEMPLATES = environment()
_TEMPLATES.globals.update(cells=cells, instants=instants, left_out=left_out, themed=themed)
_MOST_IN_MARKDOWN = 100


@dataclass(frozen=True)
class LaidOut:
    """A document in every format: see `reports.document.Writable`."""

    document: Document

    @property
    def name(self) -> str:
        return self.document.name

    def page(self, *, printed: bool) -> str:
        return _TEMPLATES.get_template("document.html").render(document=self.document, printed=printed)

    def frames(self) -> Mapping[str, pd.DataFrame]:
        return {table.name: table.frame for table in self.document.tables}

    def json(self) -> Mapping[str, Any]:
        found = self.document
        return {
            "title": found.title,
            "since": found.since.isoformat(),
            "until": found.until.isoformat(),
            "basis": found.basis,
            "command": found.made.command,
            "versions": dict(found.made.versions),
            "headline": found.headline,
            "remarks": list(found.remarks),
            "figures": {card.words: card.figure for card in found.cards},
            **found.data,
            "tables": {table.name: records(table) for table in found.tables},
        }

    def markdown(self) -> str:
        found = self.document
        lines = [f"# {found.title}", "", f"{instants(found.since, found.until)}, {found.basis}.", ""]
        lines += [found.headline, "", *(f"> {remark}\n" for remark in found.remarks)]
        if found.cards:
            lines += markdown_table(
                ("", ""), [(card.words, card.figure) for card in found.cards], (False, True)
            )
        lines += in_markdown(found.sections)
        versions = ", ".join(f"{name} {version}" for name, version in found.made.versions)
        lines += ["", *(line for text in found.method for line in (text, ""))]
        return "\n".join([*lines, f"Made by `{found.made.command}` ({versions}).", ""])


def records(table: Table) -> Any:
    """Its rows for JSON."""
    # pandas knows how to say NaN, NaT and instants
    return json.loads(table.frame.to_json(orient="records", date_format="iso", date_unit="s"))


def in_markdown(sections: Iterable[Section]) -> list[str]:
    """The lines of sections: their text and their tables."""
    lines = []
    for section in sections:
        lines += ["", f"## {section.title}", ""]
        lines += [line for text in section.text for line in (text, "")]
        for table in section.tables:
            lines += [*_table_in_markdown(table), ""]
    return lines


def _table_in_markdown(table: Table) -> list[str]:
    heads = [column.head for column in table.columns]
    rows = [[words for words, _ in row] for row in cells(table, _MOST_IN_MARKDOWN)]
    lines = [f"**{table.title}**", "", *markdown_table(heads, rows, [one.numeric for one in table.columns])]
    left = len(table.frame) - len(rows)
    return [*lines, "", left_out(table, left)] if left > 0 else lines

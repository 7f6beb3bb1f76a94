"""A report as plain data, which is written as a page, in print, as Markdown, as tables and as JSON.

What a report of some kind says is in its own module; how it is laid out is here, and the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from markupsafe import Markup

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's colours, which the colour-blind can tell apart, by what they say in every report
GOOD, FAIR, BAD, COLD, NOTHING = "#009e73", "#e69f00", "#d55e00", "#56b4e9", "#8c8c94"


@dataclass(frozen=True)
class Made:
    """What made a report: the command as it was typed, and the versions of what it was made with."""

    command: str = ""
    versions: tuple[tuple[str, str], ...] = ()


NOBODY = Made()


@dataclass(frozen=True)
class Card:
    """A figure that stands first, large. `colour` is one of those above."""

    figure: str
    words: str
    colour: str = NOTHING


@dataclass(frozen=True)
class Column:
    """A column of a table for people: of which column of the frame, its head, and a cell's words.

    A cell that is missing (None, NaN, NaT) is a dash, without asking `words`. Numbers are sorted by the
    frame's value, not by their words.
    """

    key: str
    head: str
    words: Callable[[Any], str] = str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """Rows, in the order in which they are read. The frame goes to CSV, Parquet and JSON whole, with units in
    its columns' names; people see `columns` of the first `shown` rows, in print of the first `printed`."""

    name: str
    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    note: str = ""
    printed: int = 60
    shown: int = 1000
    # what the rows that aren't shown are, if they are not just more of the same
    rest: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture (SVG, see `reports.drawing`), what is seen in it, and a note below it."""

    svg: Markup = field(repr=False)
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order: text, pictures, tables. Pictures stand side by side
    where there is room; in print each of the `large` ones has a page."""

    title: str
    text: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    new_page: bool = False
    large: bool = False


@dataclass(frozen=True)
class Document:
    """A whole report. `name` is the stem of its files; `headline` says it in a sentence or two; `remarks` are
    what is wrong with the data as a whole; `method` says how the figures were made; `data` is what else
    programs get; `about` names the table that the report is about, if it isn't the first."""

    name: str
    title: str
    since: datetime
    until: datetime
    # of what it was made, such as "1,234 measurements"
    basis: str
    headline: str
    sections: tuple[Section, ...]
    made: Made
    remarks: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()
    method: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""

    @property
    def tables(self) -> tuple[Table, ...]:
        """What the report is about first, then as they are read."""
        found = [table for section in self.sections for table in section.tables]
        return tuple(sorted(found, key=lambda table: table.name != self.about))


class Writable(Protocol):
    """What every report can be: see `reports.writing`. None of it may depend on when or where it is made."""

    @property
    def name(self) -> str: ...

    def page(self, *, printed: bool) -> str:
        """A self-contained HTML document; `printed`: for paper, with long tables cut."""

    def markdown(self) -> str: ...

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """Its tables by name; the first is what the report is about."""

    def json(self) -> Mapping[str, Any]:
        """All of it, for programs."""


def instants(since: datetime, until: datetime) -> str:
    return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"


def left_out(table: Table, count: int) -> str:
    """Where the rows are that aren't shown."""
    return f"{table.rest or f'{count:,} more'} are in the other formats."


def cells(table: Table, most: int | None = None) -> list[list[tuple[str, Any]]]:
    """Each row's words and, for numbers, the value to sort by (None: by the words)."""
    import pandas as pd

    found = []
    for row in table.frame.head(most if most is not None else len(table.frame)).to_dict("records"):
        line: list[tuple[str, Any]] = []
        for column in table.columns:
            value = row[column.key]
            missing = pd.api.types.is_scalar(value) and pd.isna(value)
            line.append(
                (
                    "–" if missing else column.words(value),
                    _sorted_by(value, missing) if column.numeric else None,
                )
            )
        found.append(line)
    return found


def _sorted_by(value: Any, missing: bool) -> Any:
    if missing:
        return ""
    return value.timestamp() if isinstance(value, datetime) else value


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """The lines of a table in Markdown; bars within cells are escaped."""
    lines = [list(heads), ["---:" if right else "---" for right in numeric], *rows]
    return [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    ]

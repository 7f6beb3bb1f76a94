"""What the commands share: where output goes, and how progress is shown."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from federation.errors import InputError

# rich takes longer to import than most commands take to run: only where something is shown
if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

# what terminals obey, or turn around what follows it: strangers choose the names of files, data and images
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
CatalogueOption = Annotated[
    Path | None,
    typer.Option(
        "--catalogue",
        help="The federation's sites (TOML); else FAIRLEAD_CATALOGUE, else those of the lab that is up.",
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", help="Where results are kept, as a URL; else FAIRLEAD_DATABASE_URL."),
]


# of rows that a list may have
MOST_LISTED = 1_000_000


def number(name: str, least: float = 0, most: float | None = None, kind: type = int) -> dict[str, Any]:
    """What typer has to know of the number that the option or argument `name` takes, of `kind` int or float:
    its range, which the help shows, and how it is read. Raises InputError for what is none of that range."""

    def read(given: object) -> Any:
        try:
            found = kind(str(given))
        except ValueError:
            found = None
        # not a number is in no range
        if found is None or not least <= found <= (math.inf if most is None else most):
            what = "a whole number" if kind is int else "a number"
            among = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise InputError(f"{name}: expected {what} {among}, got {str(given)[:40]!r}")
        return found

    shown = {"metavar": "<number>"} if name.startswith("-") else {}
    return {"parser": read, "min": least, "max": most, **shown}


def output() -> Console:
    """Results, on standard output: tables as wide as the terminal, or 120 columns where there is none."""
    return _console(stderr=False)


def ask(question: str, **options: Any) -> str:
    """The answer on the terminal; options are those of typer.prompt. Ctrl-C and Ctrl-D interrupt."""
    try:
        return str(typer.prompt(question, err=True, **options))
    except typer.Abort:
        raise KeyboardInterrupt from None


def messages() -> Console:
    """Progress and remarks, on standard error, so that results can be piped."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """Text is shown as it is: names that other people chose are neither markup nor emoji, and what a terminal
    would obey in them is left out."""
    from rich.console import Console

    class Plain(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else plain(text), style, control)

    from rich.segment import Segment

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 120
    return Plain(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def plain(text: str) -> str:
    """`text` without what a terminal would obey; lines stay lines."""
    return _OBEYED.sub("", text)


def print_json(document: Any) -> None:
    """`document` on standard output, indented; instants in ISO 8601, and the like as text."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=_as_text)
    # (JSON escapes only some of them)
    typer.echo(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class Steps:
    """Progress of something with a known number of steps: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, title: str, total: float, console: Console) -> None:
        self._title, self._total, self._console = title, total, console
        self._bar: Any = None
        self._task: Any = None
        self._last_shown = -1

    def _start(self) -> None:
        if not self._console.is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[remark]}"))
        self._bar = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
        self._task = self._bar.add_task(self._title, total=self._total, remark="")
        self._bar.start()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, remark: str = "") -> None:
        """`done` of the total so far. Without a terminal a line is printed at every further tenth."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, remark=remark)
            return
        tenth = int(10 * done / self._total) if self._total else 10
        if tenth > self._last_shown:
            self._last_shown = tenth
            self._console.print(f"{self._title}: {min(tenth * 10, 100)} % {remark}".rstrip())


@contextmanager
def steps(title: str, total: float, console: Console | None = None) -> Iterator[Steps]:
    """Progress on standard error while the block runs."""
    progress = Steps(title, total, console or messages())
    progress._start()
    try:
        yield progress
    finally:
        progress._stop()

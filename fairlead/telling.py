"""How the demo speaks: numbered steps, indented remarks, the commands that a user would type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console


@dataclass(frozen=True)
class Telling:
    """`output` is the directory that keeps the picture, the broker's log and the archive; `plan` says what is
    measured on the lab."""

    console: Console
    output: Path
    plan: Path
    simulated: bool
    keep: bool

    @property
    def shown_output(self) -> str:
        """`output` as a user would type it."""
        path = self.output.resolve()
        return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)

    def step(self, number: int, title: str) -> None:
        self.console.print()
        self.console.print(f"{number}. {title}", style="bold cyan")

    def say(self, text: str) -> None:
        self.console.print("   " + text)

    def command(self, text: str) -> None:
        """A command line as it could be typed: never wrapped, so that it can be copied."""
        self.console.print("   $ " + text, style="green", soft_wrap=True)

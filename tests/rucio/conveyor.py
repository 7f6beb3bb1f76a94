"""Rucio's own daemons, whose rounds a test turns."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rucio.environment import programs
from tests.rucio.server import Rucio

ROUND_SECONDS = 120.0


class Conveyor:
    """A process that is started with the first round: one round takes a fraction of a second."""

    def __init__(self, rucio: Rucio) -> None:
        self._rucio = rucio
        self._process: subprocess.Popen[str] | None = None
        self._log = rucio.directory / "log" / "daemons.log"

    def carry(self) -> None:
        """All that rules want is brought: the bytes are there already, for a storage has every name."""
        self._round("carry")

    def fail(self, words: str) -> None:
        """All that rules want fails, for good, with these words of the transfer tool."""
        self._round(f"fail {words}")

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()

    def _round(self, command: str) -> None:
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{command}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], ROUND_SECONDS)
        said = process.stdout.readline() if ready else "nothing"
        assert said == "done\n", f"{command}: {said}: {self._log.read_text()[-1500:]}"

    def _started(self) -> subprocess.Popen[str]:
        # it ends with its input, and so with us, whichever thread begins it
        with self._log.open("w") as log:
            return subprocess.Popen(
                [
                    programs() / "python",
                    Path(__file__).with_name("daemons.py"),
                ],
                env={**os.environ, "RUCIO_HOME": str(self._rucio.directory)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )


@contextmanager
def conveyor(rucio: Rucio) -> Iterator[Conveyor]:
    made = Conveyor(rucio)
    try:
        yield made
    finally:
        made.close()

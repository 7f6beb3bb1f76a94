"""Many files at once: a bounded number of workers for each path of the network, each with a connection of its
own that it uses again. Standard library only.

Without workers beside each other, small files over a long path cost a round trip each, one after the other;
with too many, they take the path from each other in bursts. The largest files go first, so that none is left
to be waited for alone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from netprobe.addresses import Allowed
from netprobe.mover_file import ATTEMPTS, STALL_SECONDS, Done, File, fetch
from netprobe.mover_http import Connections, MoverError

# Connections to one source at a time, as rclone and FTS begin with.
WORKERS = 4
PROGRESS_SECONDS = 0.25


@dataclass(frozen=True)
class Group:
    """All files over one path: `seconds` from the first connect of the mover to the last of them synced."""

    files: int
    size_bytes: int
    seconds: float


@dataclass(frozen=True)
class Batch:
    """Everything that was moved: each file in the order that was given, and each group."""

    files: tuple[Done, ...]
    groups: dict[str, Group]
    seconds: float


def in_order(files: Iterable[tuple[int, int | None]]) -> list[int]:
    """The numbers of files, given as (number, size or None), in the order that they are fetched in."""
    return [number for number, _ in sorted(files, key=lambda file: (file[1] is not None, -(file[1] or 0)))]


def fetch_all(
    files: Sequence[File],
    allowed: Allowed | None,
    workers: int = WORKERS,
    stall_seconds: float = STALL_SECONDS,
    attempts: int = ATTEMPTS,
    progress: Callable[[int, float], None] = lambda size, seconds: None,
    finished: Callable[[int, Done], None] = lambda number, done: None,
    bearers: Mapping[str, str] | None = None,
) -> Batch:
    """Bring all `files`, at most `workers` of a group at a time; raises MoverError where one can't be had.

    The others then stop at their next block; those that are done stay. `allowed` None: from any address.
    `progress` gets the bytes moved so far and the seconds passed, a few times a second, `finished` the number
    of each file as it is done; both are called in the caller's thread, which a signal can interrupt.
    `bearers`: see `mover_http.Connections`.
    """
    mover = _Mover(files, lambda: Connections(allowed, bearers), stall_seconds, attempts)
    begun = time.monotonic()
    groups: dict[str, list[int]] = {}
    for number, file in enumerate(files):
        groups.setdefault(file.group, []).append(number)
    for numbers in groups.values():
        waiting = deque(in_order((number, files[number].size_bytes) for number in numbers))
        for _ in range(min(workers, len(numbers))):
            # nobody waits for one that hangs once it isn't wanted any more
            threading.Thread(target=mover.work, args=(waiting,), daemon=True).start()
    done: dict[int, Done] = {}
    ended: dict[str, float] = {}
    shown = begun
    try:
        while len(done) < len(files):
            try:
                number, result = mover.results.get(timeout=PROGRESS_SECONDS)
                if isinstance(result, BaseException):
                    raise result
                done[number] = result
                ended[files[number].group] = time.monotonic() - begun
                finished(number, result)
            except queue.Empty:
                pass
            now = time.monotonic()
            if now - shown >= PROGRESS_SECONDS:
                shown = now
                progress(sum(mover.moved), now - begun)
    finally:
        mover.stopped.set()
    summary = {
        name: Group(len(numbers), sum(done[number].size_bytes for number in numbers), ended[name])
        for name, numbers in groups.items()
    }
    return Batch(tuple(done[number] for number in range(len(files))), summary, time.monotonic() - begun)


class _StoppedError(Exception):
    """Nobody wants the rest."""


class _Mover:
    """What the workers share: the files, the bytes moved of each, and the queue of what came of them."""

    def __init__(
        self,
        files: Sequence[File],
        connections: Callable[[], Connections],
        stall_seconds: float,
        attempts: int,
    ) -> None:
        self._files, self._connections, self._limits = files, connections, (stall_seconds, attempts)
        self.moved = [0] * len(files)
        self.results: queue.SimpleQueue[tuple[int, Done | BaseException]] = queue.SimpleQueue()
        self.stopped = threading.Event()

    def work(self, waiting: deque[int]) -> None:
        """Fetch what is waiting, until nothing is."""
        with self._connections() as connections:
            while not self.stopped.is_set():
                try:
                    number = waiting.popleft()
                except IndexError:
                    return
                try:
                    self.results.put((number, self._fetch(number, connections)))
                except _StoppedError:
                    return
                except BaseException as problem:
                    self.results.put((number, problem))
                    return

    def _fetch(self, number: int, connections: Connections) -> Done:
        def progress(size: int) -> None:
            self.moved[number] = size
            if self.stopped.is_set():
                raise _StoppedError

        return fetch(self._files[number], connections, *self._limits, progress)


def read_files(documents: Iterable[dict[str, object]]) -> list[File]:
    """The files that `document` wrote. Raises TypeError for what is no such list."""
    return [File(**document) for document in documents]  # type: ignore[arg-type]


def document(files: Iterable[File]) -> list[dict[str, object]]:
    """As JSON has it."""
    return [asdict(file) for file in files]


__all__ = ["WORKERS", "Batch", "Group", "MoverError", "document", "fetch_all", "in_order", "read_files"]

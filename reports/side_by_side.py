"""Much of the same work on all processors: children inherit what they work on, and send results alone."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from federation.errors import OutsideError

T = TypeVar("T")
R = TypeVar("R")

# what ends a command
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# what the children of this process work on
_inherited: tuple[Callable[[Any], list[Any]], Sequence[Any]] | None = None


def side_by_side(
    work: Callable[[Sequence[T]], list[R]],
    items: Sequence[T],
    few: int,
    progress: Callable[[float], None] = lambda share: None,
    parts: int = 20,
) -> list[R]:
    """What `work` makes of `items`, part by part, in their order; so many parts a processor.

    Fewer than `few` items are done here: starting processes would take longer. `work` must change nothing,
    and what it returns must be small. `progress` gets the share that is done. Not for two threads at once.
    """
    global _inherited
    workers = len(os.sched_getaffinity(0))
    if len(items) < few or workers < 2:
        return work(items)
    size = -(-len(items) // (parts * workers))
    spans = [(start, min(start + size, len(items))) for start in range(0, len(items), size)]
    found: list[R] = []
    _inherited = work, items
    # what is there is for good: the children's collectors needn't walk it, and its pages stay in common
    gc.freeze()
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _begin_child) as pool:
            with _none_interrupted():
                parts_done = pool.map(_part, spans)
            for part in parts_done:
                found += part
                progress(len(found) / len(items))
    finally:
        gc.unfreeze()
        _inherited = None
    return found


def _part(span: tuple[int, int]) -> list[Any]:
    assert _inherited is not None
    work, items = _inherited
    return work(items[slice(*span)])


@contextmanager
def uncollected() -> Iterator[None]:
    """While much is made that stays: the collector would walk all of it again and again, and find nothing.

    For work that makes few objects that refer to themselves: such are freed only afterwards.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _none_interrupted() -> Iterator[None]:
    """While children are made, signals wait, in them, too, until `_begin_child`.

    A command's handlers raise, and are inherited. Between the fork and what multiprocessing has around a
    child's work, that would be raised in a copy of the command, which would go on, and clean up for both.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_child() -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


@contextmanager
def beside(work: Callable[[], R], alone: bool) -> Iterator[Callable[[], R]]:
    """Does `work` in a process of its own while the block runs; what is yielded waits for its result.

    `alone`, or where there is one processor, it is done when its result is asked for. It must not use what
    two processes can't share, such as a database's connections; what it returns is sent whole.
    """
    if alone or len(os.sched_getaffinity(0)) < 2:
        yield work
        return
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    # not a pool: that has threads, beside which `side_by_side` would fork
    process = context.Process(target=_send, args=(writer, work))
    with _none_interrupted():
        process.start()
    writer.close()

    def result() -> R:
        try:
            done, found = reader.recv()
        except EOFError:
            raise OutsideError("a part of the work was ended from outside: too little memory?") from None
        if not done:
            raise found
        return found  # type: ignore[no-any-return]

    try:
        yield result
    finally:
        process.terminate()
        process.join()
        reader.close()


def _send(writer: Connection, work: Callable[[], Any]) -> None:
    _begin_child()
    # it makes little, and ends soon
    gc.disable()
    try:
        found: tuple[bool, Any] = True, work()
    except Exception as error:
        found = False, error
    writer.send(found)

"""Run one program to its end under a time limit of our own, and leave no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

# between SIGTERM and SIGKILL: a tool must end within its time limit plus a second
GRACE_SECONDS = 0.6
# a tool that prints in the user's language can't be read
ENVIRONMENT = {"LC_ALL": "C", "LANG": "C"}


@dataclass(frozen=True)
class Finished:
    """What a program left. `returncode` is negative where a signal ended it."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool

    @property
    def complaint(self) -> str:
        """The last line that it wrote on standard error, else how it ended."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.returncode}"


def not_started(side: str, command: Sequence[str], problem: OSError) -> str:
    """What is told where `run` raises: `side` names whose machine it is."""
    return f"{side}: {command[0]} can't be started: {problem.strerror}"


async def run(
    command: Sequence[str],
    time_limit_seconds: float,
    on_line: Callable[[str], None] | None = None,
    grace_seconds: float = GRACE_SECONDS,
    directory: str | None = None,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> Finished:
    """Run `command`; at the time limit end it by SIGTERM, then SIGKILL, and return what it had written.

    `on_line` gets each line of standard output as it comes. `environment` is added to our own. The program
    finds `given` on its standard input, and its end. It runs in `directory`, or where we do, and in a session
    of its own: signals go to everything that it started, and a Ctrl-C at the terminal reaches us alone.
    Cancelled: everything that was started has ended before CancelledError leaves. Raises OSError where it
    can't be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT, **(environment or {})},
        cwd=directory,
        start_new_session=True,
    )
    reading = asyncio.ensure_future(_read(process, on_line, given))
    try:
        await asyncio.wait({reading}, timeout=time_limit_seconds)
        timed_out = not reading.done()
        if timed_out:
            await _end(process, reading, grace_seconds)
        stdout, stderr = await reading
        return Finished(process.returncode or 0, stdout, stderr, timed_out)
    finally:
        if not reading.done() or process.returncode is None:
            await _uninterrupted(_end(process, reading, grace_seconds))


async def _read(
    process: asyncio.subprocess.Process, on_line: Callable[[str], None] | None, given: str | None
) -> tuple[str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.ensure_future(process.stderr.read())
    # it may write before it has read all
    writing = asyncio.ensure_future(_write(process, given))
    try:
        if on_line is None:
            output = (await process.stdout.read()).decode(errors="replace")
        else:
            lines = []
            async for raw in process.stdout:
                lines.append(raw.decode(errors="replace"))
                on_line(lines[-1])
            output = "".join(lines)
        stderr = (await errors).decode(errors="replace")
    finally:
        errors.cancel()
        writing.cancel()
    await process.wait()
    return output, stderr


async def _write(process: asyncio.subprocess.Process, given: str | None) -> None:
    if process.stdin is None or given is None:
        return
    # one that ends without reading says itself why
    with contextlib.suppress(ConnectionError):
        process.stdin.write(given.encode())
        await process.stdin.drain()
    process.stdin.close()


async def _end(
    process: asyncio.subprocess.Process, reading: asyncio.Future[tuple[str, str]], grace_seconds: float
) -> None:
    exited = asyncio.ensure_future(process.wait())
    _signal(process, signal.SIGTERM)
    await asyncio.wait({exited}, timeout=grace_seconds)
    # also after a clean end: what it started may still hold the pipes
    _signal(process, signal.SIGKILL)
    await exited
    await asyncio.wait({reading}, timeout=grace_seconds)
    reading.cancel()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # the leader of the session may be gone and others of its group not; an empty group is no error
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _uninterrupted(work: Coroutine[None, None, None]) -> None:
    """Finish `work` although this task is cancelled, once or more."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)

"""Run one program to its end under a time limit of our own, and leave no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

# between SIGTERM and SIGKILL: a tool must end within its time limit plus a second
GRACE_SECONDS = 0.6
# a tool that prints in the user's language can't be read
ENVIRONMENT = {"LC_ALL": "C", "LANG": "C"}
_BLOCK_BYTES = 65536
# of the event loop, in which what a pipe holds is read to its end
_TURNS = 8


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
    environment = {**os.environ, **ENVIRONMENT, **(environment or {})}
    child = _Child(command, directory, environment, on_line, given)
    try:
        timed_out = not await child.is_over(time_limit_seconds)
        if timed_out:
            await child.end(grace_seconds)
        return child.finished(timed_out)
    finally:
        if not child.is_done:
            await _uninterrupted(child.end(grace_seconds))
        child.close()


class _Child:
    """A running program. What becomes of it comes by callbacks of the event loop: asyncio's own children need
    a task of their own to begin. Where the loop's end cancels that with all others, CPython 3.11 waits for
    ever, and nobody knows yet whom to end.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: str | None,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None,
        given: str | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[None] = self._loop.create_future()
        # the program has ended, and so has what it says; or what `on_line` raised
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._ended = False
        self._on_line = on_line
        self._said = {"stdout": bytearray(), "stderr": bytearray()}
        # how much of standard output `on_line` has had
        self._told = 0
        self._left = memoryview((given or "").encode())
        self._open: dict[str, IO[bytes]] = {}
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
        threading.Thread(target=self._wait, daemon=True).start()
        for name in ("stdout", "stderr", "stdin"):
            pipe = getattr(self._process, name)
            if pipe is not None:
                self._open[name] = pipe
                os.set_blocking(pipe.fileno(), False)
        for name in self._said:
            self._loop.add_reader(self._open[name], self._read, name)
        if "stdin" in self._open:
            # it may write before it has read all
            self._loop.add_writer(self._open["stdin"], self._write)

    def _wait(self) -> None:
        self._process.wait()
        # a loop that was ended by force is closed
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._has_exited)

    def _has_exited(self) -> None:
        self._exited.set_result(None)
        self._check()

    def _check(self) -> None:
        if self._exited.done() and not self._open.keys() & self._said.keys() and not self._over.done():
            self._over.set_result(None)

    def _read(self, name: str) -> None:
        try:
            block = os.read(self._open[name].fileno(), _BLOCK_BYTES)
        except BlockingIOError:
            return
        self._said[name] += block
        if name == "stdout" and self._on_line is not None:
            try:
                self._tell(self._on_line, len(block))
            except Exception as problem:
                self._on_line = None
                if not self._over.done():
                    self._over.set_exception(problem)
        if not block:
            self._close(name)
            self._check()

    def _tell(self, on_line: Callable[[str], None], new: int) -> None:
        """Whole lines; the last may lack its end once nothing more comes."""
        output = self._said["stdout"]
        end = output.rfind(b"\n", len(output) - new) + 1 if new else len(output)
        if end > self._told:
            lines = io.BytesIO(output[self._told : end])
            self._told = end
            for line in lines:
                on_line(line.decode(errors="replace"))

    def _write(self) -> None:
        try:
            self._left = self._left[os.write(self._open["stdin"].fileno(), self._left[:_BLOCK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            # one that ends without reading says itself why
            self._left = memoryview(b"")
        if not self._left:
            self._close("stdin")

    def _close(self, name: str) -> None:
        pipe = self._open.pop(name)
        self._loop.remove_reader(pipe)
        self._loop.remove_writer(pipe)
        pipe.close()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to end."""
        return self._exited.done() and (self._ended or self._over.done())

    async def is_over(self, within_seconds: float) -> bool:
        """Whether it has ended by then. Raises what `on_line` raised."""
        await asyncio.wait({self._over}, timeout=within_seconds)
        if not self._over.done() and self._is_gone():
            # it ended while nobody looked, as on a machine that stalls: what it said is still to be read
            await asyncio.wait({self._exited})
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        return self._over.done() and self._over.result() is None

    def _is_gone(self) -> bool:
        try:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:
            return True

    def finished(self, timed_out: bool) -> Finished:
        """What it has said so far, and how it ended, which it has."""
        stdout, stderr = (said.decode(errors="replace") for said in self._said.values())
        return Finished(self._process.returncode or 0, stdout, stderr, timed_out)

    async def end(self, grace_seconds: float) -> None:
        self._signal(signal.SIGTERM)
        await asyncio.wait({self._exited}, timeout=grace_seconds)
        # also after a clean end: what it started may still hold the pipes
        self._signal(signal.SIGKILL)
        await asyncio.wait({self._exited})
        await asyncio.wait({self._over}, timeout=grace_seconds)
        self._ended = True

    def _signal(self, number: signal.Signals) -> None:
        # the leader of the session may be gone and others of its group not; an empty group is no error
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        for name in list(self._open):
            self._close(name)
        if self._over.done():
            # an error that came too late is no news
            self._over.exception()


async def _uninterrupted(work: Coroutine[None, None, None]) -> None:
    """Finish `work` although this task is cancelled, once or more."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)

"""One program to its end, whatever ends first: it, its time, who asked for it, or the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from netprobe.tools import _process
from tests.waiting import until


def sh(script: str, seconds: float = 60.0, **more: Any) -> Coroutine[Any, Any, _process.Finished]:
    return _process.run(["sh", "-c", script], seconds, **more)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_it_says_and_how_it_ends() -> None:
    end = asyncio.run(sh("echo out; printf err >&2; exit 7"))
    assert (end.stdout, end.stderr, end.returncode, end.timed_out) == ("out\n", "err", 7, False)
    assert asyncio.run(sh("kill -9 $$")).returncode == -signal.SIGKILL


def test_lines_come_whole_and_the_last_may_lack_its_end() -> None:
    lines: list[str] = []
    script = "printf 'a\\nb'; sleep 0.05; printf 'c\\r\\n\\n'; "
    script += "head -c 300000 /dev/zero | tr '\\0' x; printf '\\nd'"
    end = asyncio.run(sh(script, on_line=lines.append))
    assert lines == ["a\n", "bc\r\n", "\n", "x" * 300_000 + "\n", "d"]
    assert "".join(lines) == end.stdout


def test_what_a_line_is_refused_for_ends_it(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    before = open_files()
    with pytest.raises(ValueError, match="wrong"):
        asyncio.run(sh(f"echo $$ >{tmp_path}/pid; echo wrong; echo more; sleep 60", on_line=refuse))
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert open_files() <= before


def test_it_may_write_before_it_has_read_and_needn_t_read_at_all() -> None:
    given = "ü" * 400_000
    assert asyncio.run(_process.run(["cat"], 60.0, given=given)).stdout == given
    assert asyncio.run(_process.run(["true"], 60.0, given=given)).returncode == 0


@pytest.mark.parametrize("size", [0, 1, 60_000])
def test_what_ended_while_the_event_loop_stood_has_not_run_out_of_time(size: int, tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def stalled() -> _process.Finished:
        loop = asyncio.get_running_loop()
        now = loop.time
        running = asyncio.ensure_future(sh(f"echo $$ >{pid}; head -c {size} /dev/zero | tr '\\0' x"))
        await asyncio.sleep(0)
        until(lambda: pid.exists() and pid.read_text().endswith("\n"), "a program that runs")
        until(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists(), "its end")
        loop.time = lambda: now() + 60  # type: ignore[method-assign]
        return await running

    end = asyncio.run(stalled())
    assert (end.returncode, len(end.stdout), end.timed_out) == (0, size, False)


def test_one_that_left_its_session_and_holds_the_pipes_is_not_waited_for(tmp_path: Path) -> None:
    script = f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 600' & : >>{tmp_path}/pid; echo said; wait"
    end = asyncio.run(sh(script, 5.0, grace_seconds=0.1))
    until(lambda: (tmp_path / "pid").read_text(), "one that left its session")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert (end.timed_out, end.stdout) == (True, "said\n")


def within(seconds: float, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """An event loop that doesn't end is in a thread that nobody waits for."""
    thread = threading.Thread(target=lambda: asyncio.run(story()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "the event loop doesn't end"


@pytest.mark.parametrize("steps", range(6))
def test_an_event_loop_ends_while_programs_begin(steps: int, tmp_path: Path) -> None:
    """CPython's own children keep it from that for ever."""

    async def story() -> None:
        running = asyncio.ensure_future(
            sh(f"echo $$ >{tmp_path}/pid; sleep 60 & echo $! >>{tmp_path}/pid; wait")
        )
        for _ in range(steps):
            await asyncio.sleep(0)
        assert not running.done()

    within(60, story)
    with contextlib.suppress(OSError):
        pids = (tmp_path / "pid").read_text().split()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "their end", lambda: pids)


def test_nothing_stays_open() -> None:
    async def many() -> None:
        await asyncio.gather(*(sh("cat", given="x") for _ in range(20)))
        with pytest.raises(OSError, match="No such file"):
            await _process.run(["/none"], 1.0)

    asyncio.run(many())
    before = open_files()
    asyncio.run(many())
    assert open_files() <= before

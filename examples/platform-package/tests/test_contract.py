"""Fairlead's contract tests of platforms, for this one: they come with its checkout, on PYTHONPATH."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.model import Executable

# all of them, with the fixture that they use
from tests.contracts.platform_cases import Case as AnyCase
from tests.contracts.platform_cases import server as server
from tests.contracts.test_platforms import *  # noqa: F403
from tests.contracts.test_platforms_running import *  # noqa: F403

IMAGE = "example.org/busybox:1"
APPLETS = ("cat", "sh", "sleep", "true")


class Case(AnyCase):
    publishes = False
    shows_notebooks = False


def make_bundle(directory: Path) -> None:
    """A static busybox as an unpacked image."""
    programs = directory / "rootfs" / "bin"
    programs.mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None, "install busybox-static"
    shutil.copy(busybox, programs / "busybox")
    for applet in APPLETS:
        (programs / applet).symlink_to("busybox")
    process = {"args": ["true"], "env": ["PATH=/bin"], "cwd": "/"}
    (directory / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "process": process}))


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    make_bundle(tmp_path / "images" / IMAGE)
    found = Case("bubblewrap", IMAGE, tmp_path / "work", {"images": str(tmp_path / "images")})
    yield found

    async def release_all() -> None:
        await asyncio.gather(*(found.platform().release(job.id) for job in found.used))

    asyncio.run(release_all())


def test_what_is_stopped_while_it_starts_ends(case: Case) -> None:
    async def live() -> set[int | None]:
        platform, codes = case.platform(), set()
        for _ in range(10):
            job = case.job("sleep", "60")
            await platform.start(job)
            await platform.stop(job)
            codes.add((await platform.poll(job)).exit_code)
        return codes

    assert asyncio.run(live()) == {143}


def command_lines() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_secrets_are_on_no_command_line(case: Case) -> None:
    async def live() -> tuple[str, str]:
        platform = case.platform()
        job = case.job("sh", "-c", "echo $TOKEN; sleep 60", environment={"TOKEN": "hunter2"})
        await platform.start(job)
        for _ in range(1000):
            if stdout := (await platform.poll(job)).stdout:
                break
            await asyncio.sleep(0.02)
        return stdout, command_lines()

    stdout, lines = asyncio.run(live())
    assert stdout == "hunter2\n"
    assert "echo $TOKEN" in lines
    assert "hunter2" not in lines


def test_what_it_cannot_do_is_refused(case: Case) -> None:
    executable = Executable("test", (case.image,), digest="sha256:" + "ab" * 32, privileged=True)
    paths = [note.path for note in case.platform().check(executable)]
    assert paths == ["/executable/privileged", "/executable/image/digest"]
    [absent] = case.platform().check(Executable("test", ("../../etc",)))
    assert absent.text == "here has not unpacked ../../etc"

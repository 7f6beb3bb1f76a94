"""What the tests of podman for real share: an image, podman itself, and containers that never stay."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from broker.model import Job
from broker.platforms import Platform
from broker.platforms.podman_cli import command
from fairlead.demo_image import build_checksum_image, remove_checksum_image
from tests.contracts.platform_support import make_platform
from tests.waiting import until

T = TypeVar("T")


@contextmanager
def an_image() -> Iterator[str]:
    """The name of an image of busybox, removed at the end."""
    name = build_checksum_image(f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1")
    yield name
    # an image that a container still uses can't be removed
    assert remove_checksum_image(name)


def podman(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(command(*arguments), input=stdin, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def live(root: Path, job: Job, work: Callable[[Platform], Awaitable[T]], **options: Any) -> T:
    """What `work` returns with a platform on which `job` was started; it is released in any case."""
    options = {"stop_seconds": 0.0, **options}

    async def whole() -> T:
        platform = make_platform("podman", root, options)
        try:
            await platform.prepare(job)
            await platform.start(job)
            return await work(platform)
        finally:
            await platform.release(job.id)

    return asyncio.run(whole())


@contextmanager
def podman_of_its_own(own: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Podman has its store and its memory in the new directory `own` meanwhile."""
    own.mkdir()
    lines = ['lock_type = "file"', f'static_dir = "{own}/static"', f'tmp_dir = "{own}/run/tmp"']
    (own / "containers.conf").write_text("\n".join(["[engine]", *lines, ""]))
    lines = ['driver = "vfs"', f'graphroot = "{own}/store"', f'runroot = "{own}/run/root"']
    (own / "storage.conf").write_text("\n".join(["[storage]", *lines, ""]))
    monkeypatch.setenv("CONTAINERS_CONF", str(own / "containers.conf"))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(own / "storage.conf"))
    try:
        yield
    finally:
        unmount(own)


def unmount(own: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    for path in reversed([line.split()[1] for line in mounts]):
        if Path(path).is_relative_to(own):
            # whoever is being killed there may not have let go of it yet
            until(lambda path=path: subprocess.run(["umount", path]).returncode == 0, f"{path} is let go of")

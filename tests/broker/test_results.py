"""Results in a storage that a hostile container wrote, and goes on writing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.platforms.results import DEPTH_LIMIT, ENTRIES_LIMIT, FILES_LIMIT, list_files, open_file
from tests.contracts.platform_support import make_platform

SECRET = b"the machine's own"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    path = tmp_path / "root" / "job" / "storage" / "results"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(SECRET)
    return path


def names(tmp_path: Path) -> list[str]:
    return [file.path for file in list_files(tmp_path / "root", "job", "results")]


def opened_below(directory: Path) -> list[Path]:
    """What this process has open there. Whatever else it has may be closed at any moment, when tests that are
    over are collected."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(descriptor.readlink())
    return [path for path in found if path.is_relative_to(directory)]


def content(tmp_path: Path, path: str) -> bytes | None:
    file = open_file(tmp_path / "root", "job", "results", path)
    if file is None:
        return None
    with file:
        return file.readall()


def test_files_are_listed_by_path_with_size_and_time(tmp_path: Path, storage: Path) -> None:
    (storage / "b").mkdir()
    (storage / "b" / "deep.fits").write_bytes(b"12345")
    (storage / "a").write_bytes(b"")
    os.utime(storage / "a", (86_400, 86_400))
    first, second = list_files(tmp_path / "root", "job", "results")
    assert (first.path, first.size_bytes, first.modified.isoformat()) == ("a", 0, "1970-01-02T00:00:00+00:00")
    assert (second.path, second.size_bytes) == ("b/deep.fits", 5)
    assert content(tmp_path, "b/deep.fits") == b"12345"


def plant(storage: Path, outside: Path) -> None:
    """All that a container can put where a file is expected."""
    (storage / "link").symlink_to(outside / "secret")
    (storage / "folder").symlink_to(outside)
    (storage / "loop").symlink_to(storage / "loop")
    (storage / "relative").symlink_to("../../../../outside/secret")
    os.mkfifo(storage / "pipe")
    # a path that is too long to bind one to is none to make one at
    os.mknod(storage / "socket", stat.S_IFSOCK | 0o666)
    if os.geteuid() == 0:
        os.mknod(storage / "zero", 0o020666, os.makedev(1, 5))


@pytest.mark.parametrize(
    "path", ["link", "folder/secret", "loop", "relative", "pipe", "socket", "zero", "folder", "", "sub"]
)
def test_what_is_no_regular_file_inside_is_neither_told_nor_opened(
    tmp_path: Path, storage: Path, outside: Path, path: str
) -> None:
    plant(storage, outside)
    (storage / "sub").mkdir()
    assert names(tmp_path) == []
    assert content(tmp_path, path) is None


@pytest.mark.parametrize(
    "path",
    ["../results/a", "..", "./a", "/a", "a/", "a//", "//a", "a/.", "a\0", "x" * 5000, "a/" * 5000 + "a"],
)
def test_a_path_never_leaves_the_storage(tmp_path: Path, storage: Path, path: str) -> None:
    (storage / "a").write_bytes(b"x")
    assert content(tmp_path, path) is None


@pytest.mark.parametrize("name", ["..", "../../..", "", "none", "/", "results/.."])
def test_a_storage_s_name_never_leaves_the_job(tmp_path: Path, storage: Path, name: str) -> None:
    (storage / "a").write_bytes(b"x")
    assert list_files(tmp_path / "root", "job", name) == ()
    assert open_file(tmp_path / "root", "job", name, "a") is None


def test_the_storage_itself_may_be_no_link(tmp_path: Path, storage: Path, outside: Path) -> None:
    storage.rmdir()
    storage.symlink_to(outside)
    assert names(tmp_path) == []
    assert content(tmp_path, "secret") is None


def flipping(storage: Path, outside: Path) -> Iterator[None]:
    """A folder that is a link to outside and back, thousands of times a second."""
    real, link, here = storage / "real", storage / "link", storage / "folder"
    real.mkdir()
    (real / "secret").write_bytes(b"mine")
    link.symlink_to(outside)
    over = threading.Event()

    def flip() -> None:
        while not over.is_set():
            for one in (real, link):
                one.rename(here)
                here.rename(one)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_link_between_the_look_and_the_opening_leads_nowhere(
    tmp_path: Path, storage: Path, outside: Path
) -> None:
    seen: set[bytes | None] = set()
    for _ in flipping(storage, outside):
        for _ in range(3000):
            seen.add(content(tmp_path, "folder/secret"))
            seen.update(name.encode() for name in names(tmp_path) if name.startswith("folder"))
    assert seen <= {None, b"mine", b"folder/secret"}
    assert b"mine" in seen


def test_an_opened_file_stays_what_it_was(tmp_path: Path, storage: Path, outside: Path) -> None:
    (storage / "a").write_bytes(b"before")
    file = open_file(tmp_path / "root", "job", "results", "a")
    assert file is not None
    (storage / "a").unlink()
    (storage / "a").symlink_to(outside / "secret")
    with file:
        assert os.fstat(file.fileno()).st_size == 6
        file.seek(3)
        assert file.readall() == b"ore"


def test_a_file_in_millions_is_still_opened_and_the_list_ends(tmp_path: Path, storage: Path) -> None:
    for number in range(FILES_LIMIT + 50):
        os.close(os.open(storage / f"{number:06}", os.O_CREAT | os.O_WRONLY))
    found = names(tmp_path)
    assert len(found) == FILES_LIMIT
    assert found == sorted(found)
    assert content(tmp_path, "000049") == b""


def test_entries_that_are_no_files_end_the_search_too(
    tmp_path: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.platforms.results.ENTRIES_LIMIT", 100)
    assert ENTRIES_LIMIT > FILES_LIMIT
    for number in range(200):
        (storage / f"link-{number}").symlink_to("nowhere")
    assert names(tmp_path) == []


def dig(storage: Path) -> None:
    """A file on each of 1500 levels: further down than Python's own functions go."""
    here = os.open(storage, os.O_RDONLY)
    for _ in range(1500):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_thousand_levels_are_no_trouble(tmp_path: Path, storage: Path) -> None:
    try:
        dig(storage)
        assert len(names(tmp_path)) == DEPTH_LIMIT
        assert content(tmp_path, "d/" * (DEPTH_LIMIT - 1) + "file") == b""
    finally:
        # nor can pytest remove it
        subprocess.run(["rm", "-rf", str(storage)], check=True)


def test_strange_names_and_times(tmp_path: Path, storage: Path) -> None:
    (storage / "a\nb é 世").write_bytes(b"1")
    os.close(os.open(os.fsencode(storage) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY))
    os.utime(storage / "a\nb é 世", (2**40, 2**40))
    assert names(tmp_path) == ["a\nb é 世"]
    assert content(tmp_path, "a\nb é 世") == b"1"


def test_no_descriptor_is_left_open(tmp_path: Path, storage: Path, outside: Path) -> None:
    plant(storage, outside)
    (storage / "sub").mkdir()
    (storage / "sub" / "a").write_bytes(b"x")
    with (storage / "sub" / "a").open():
        assert opened_below(tmp_path) == [storage / "sub" / "a"]
    for path in ("sub/a", "link", "pipe", "sub", "sub/none", "none/a", ""):
        content(tmp_path, path)
        names(tmp_path)
    assert opened_below(tmp_path) == []


@pytest.mark.podman
def test_a_release_that_keeps_a_storage_keeps_that_alone(tmp_path: Path) -> None:
    async def live() -> None:
        platform = make_platform("podman", tmp_path)
        kept = await platform.make_storage("job", "results")
        other = await platform.make_storage("job", "scratch")
        for path in (kept, other):
            (path / "file").write_bytes(b"x")
        dig(other)
        (tmp_path / "job" / "data").mkdir()
        try:
            await platform.release("job", ["results", "never-made"])
            assert [file.path for file in await platform.list_files("job", "results")] == ["file"]
            assert sorted(path.name for path in (tmp_path / "job").rglob("*")) == [
                "file",
                "results",
                "storage",
            ]
        finally:
            await platform.release("job")
        assert not (tmp_path / "job").exists()
        assert await platform.list_files("job", "results") == ()

    asyncio.run(live())

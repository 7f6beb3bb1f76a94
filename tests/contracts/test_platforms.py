"""What every compute platform owes, whatever drives it: of data and storage, and of what is refused. Faults
that only a real engine has: tests/broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable, Level
from broker.platforms import Platform, State
from broker.platforms.places import job_directory
from federation.errors import InputError
from tests.contracts.platform_cases import Case
from tests.contracts.platform_support import (
    CONTENT,
    make_item,
    make_move,
    make_platform,
    stage_one,
    until_exited,
)
from tests.netprobe.servers import FileServer


def test_a_job_s_life_from_data_to_release(case: Case, server: FileServer) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("sh", "-c", ":")
        item = make_item(server.url("/good"))
        assert (await platform.poll(job)).state is State.ABSENT
        path, _ = await stage_one(platform, job.id, item, make_move(item))
        assert path.is_relative_to(case.there)
        assert not path.exists() or path.read_bytes() == CONTENT
        await platform.prepare(job)
        assert (await platform.poll(job)).state is State.ABSENT
        await platform.start(job)
        status = await until_exited(platform, job)
        assert status.exit_code == 0
        await platform.release(job.id)
        assert (await platform.poll(job)).state is State.ABSENT
        assert not path.exists()

    asyncio.run(live())


def test_progress_grows_to_the_size(case: Case, server: FileServer) -> None:
    async def live() -> list[int]:
        platform, job, item = case.platform(), case.job(), make_item(server.url("/good"))
        seen: list[int] = []
        await stage_one(platform, job.id, item, make_move(item), seen.append)
        return seen

    seen = asyncio.run(live())
    assert seen == sorted(seen)
    assert all(0 <= size <= len(CONTENT) for size in seen)


def test_staging_again_returns_at_once(case: Case, server: FileServer) -> None:
    async def live() -> None:
        platform, job, item = case.platform(), case.job(), make_item(server.url("/good"))
        path, _ = await stage_one(platform, job.id, item, make_move(item))
        asked = len(server.requests)
        assert await stage_one(platform, job.id, item, make_move(item)) == (path, None)
        assert len(server.requests) == asked

    asyncio.run(live())


def test_two_items_of_one_name_do_not_meet(case: Case, server: FileServer) -> None:
    async def live() -> set[Path]:
        platform, job = case.platform(), case.job()
        items = [make_item(server.url("/good")) for _ in range(2)]
        return {(await stage_one(platform, job.id, one, make_move(one)))[0] for one in items}

    assert len(asyncio.run(live())) == 2


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "..", "a b\nc", "é" * 300, "-rf", ".hidden"])
def test_names_never_lead_out_of_the_job_s_directory(case: Case, server: FileServer, name: str) -> None:
    async def live() -> list[Path]:
        platform, job = case.platform(), case.job()
        item = make_item(server.url("/good"), name)
        staged, _ = await stage_one(platform, job.id, item, make_move(item))
        return [staged, await platform.make_storage(job.id, name)]

    for path in asyncio.run(live()):
        assert path.resolve().is_relative_to(case.there.resolve())
        assert ".." not in path.relative_to(case.there).parts
        assert len(path.name.encode()) < 240


def test_storage_is_one_directory_a_name(case: Case) -> None:
    async def live() -> None:
        platform, job, other = case.platform(), case.job(), case.job()
        first = await platform.make_storage(job.id, "results")
        assert await case.platform().make_storage(job.id, "results") == first
        assert await platform.make_storage(job.id, "scratch") != first
        assert await platform.make_storage(other.id, "results") != first

    asyncio.run(live())


def test_a_cancelled_stage_can_be_done_again(case: Case, server: FileServer) -> None:
    async def live() -> None:
        platform, job, item = case.platform(), case.job(), make_item(server.url("/stalled"))
        staging = asyncio.create_task(stage_one(platform, job.id, item, make_move(item, seconds=30.0)))
        if case.fetches:
            assert await asyncio.to_thread(server.reached.wait, 60), "it is never fetched"
        else:
            await asyncio.sleep(0)
        staging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await staging
        there = job_directory(case.there, job.id)
        assert not [path for path in there.rglob("*") if path.is_file()]
        good = make_item(server.url("/good"), uuid=item.uuid)
        await stage_one(platform, job.id, good, make_move(good))

    asyncio.run(live())


# what is refused

WRONG: list[tuple[dict[str, str], str]] = [
    ({"architecture": "s390x"}, "/executable/image/platform/architecture"),
    ({"os": "windows"}, "/executable/image/platform/os"),
]


@pytest.mark.parametrize(("wrong", "path"), WRONG)
def test_what_the_machines_cannot_run_is_refused_with_its_path(
    case: Case, wrong: dict[str, str], path: str
) -> None:
    notes = case.platform().check(Executable("test", (case.image,), **wrong))  # type: ignore[arg-type]
    assert [(note.path, note.level) for note in notes] == [(path, Level.ERROR)]
    assert "here" in notes[0].text
    assert next(iter(wrong.values())) in notes[0].text


@pytest.mark.parametrize("architecture", ["amd64", "x86_64", "AMD64"])
def test_what_it_can_run_is_not_refused(case: Case, architecture: str) -> None:
    executable = Executable("test", (case.image,), architecture=architecture)
    assert not case.platform().check(executable)
    assert case.platform().image_seconds(executable) >= 0


def test_unknown_and_wrong_options_are_named(case: Case) -> None:
    make: Callable[[dict[str, Any]], Platform] = lambda options: make_platform(case.kind, case.root, options)  # noqa: E731
    with pytest.raises(InputError, match=r"site 'here': option 'colour' .* is not known: expected one of"):
        make({"colour": "red"})
    name = "image_seconds"
    with pytest.raises(
        InputError, match=r"site 'here': option 'image_seconds' .* expected float, got 'soon'"
    ):
        make({name: "soon"})
    make(case.required | {name: 3, "io_throughput": 500.0, "bookings": []})

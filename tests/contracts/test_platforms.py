"""What every compute platform owes, whatever drives it. Faults that only a real engine has: tests/broker."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from broker.model import Executable, ExecutableKind, Job, Level, MountMode, Port
from broker.platforms import Platform, SaysWhatFits, State
from fairlead.demo_image import build_checksum_image, remove_checksum_image
from federation.errors import InputError
from tests.contracts.platform_support import (
    CONTENT,
    make_item,
    make_job,
    make_move,
    make_platform,
    stage_one,
    until_exited,
)
from tests.netprobe.servers import FileServer, file_server
from tests.skaha.serving import skaha, skaha_options
from tests.slurm.cluster import Cluster, running, slurm_is_impossible
from tests.slurm.platform_support import platform_options


class Case:
    """A kind of platform, with an image that it can run and options that make it quick."""

    def __init__(self, kind: str, image: str, root: Path, options: dict[str, Any]) -> None:
        self.kind, self.image, self.root, self.options = kind, image, root, options
        self.used: list[Job] = []

    @property
    def publishes(self) -> bool:
        """Whether ports of containers can be reached there at all."""
        return self.kind not in ("slurm", "skaha")

    @property
    def shows_notebooks(self) -> bool:
        return self.kind != "slurm"

    def platform(self) -> Platform:
        """A new one each time, as after a restart: what is real stays, what is in memory is gone."""
        return make_platform(self.kind, self.root, self.options)

    def job(self, *command: str, **more: Any) -> Job:
        self.used.append(make_job(self.image, *command, **more))
        return self.used[-1]


class SkahaCase(Case):
    """What Skaha can run is known once it was asked; and it doesn't know the entrypoints of images."""

    def platform(self) -> Platform:
        platform = make_platform(self.kind, self.root.parent / "records", self.options)
        assert isinstance(platform, SaysWhatFits)
        platform.learn()
        return platform

    def job(self, *command: str, **more: Any) -> Job:
        entrypoint, *arguments = command or ("true",)
        return super().job(*arguments, entrypoint=entrypoint, **more)


SIMULATED = {"stage_seconds": 0.05, "image_seconds": 0.01, "run_seconds": 0.3}

PODMAN = {
    "stop_seconds": 1.0,
    "ports": "publish",
    "notebook_command": ["busybox", "httpd", "-f", "-p", "{port}", "-h", "{directory}"],
    "notebook_path": "/{notebook}",
}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    name = build_checksum_image(f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1")
    yield name
    # an image that a container still uses can't be removed
    assert remove_checksum_image(name)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    reason = slurm_is_impossible()
    if reason is not None:
        pytest.skip(reason)
    with running(3) as cluster:
        yield cluster


ENGINES = [pytest.param(kind, marks=pytest.mark.podman) for kind in ("podman", "slurm")]


@contextmanager
def skaha_case(directory: Path) -> Iterator[Case]:
    """A simulated Skaha, whose containers have the staging directory under another path."""
    root = directory / "work"
    root.mkdir()
    (directory / "arc").symlink_to(root)
    with skaha(directory / "skaha") as served:
        options = skaha_options(served, directory)
        options |= {"staging": str(root), "staging_there": str(directory / "arc")}
        yield SkahaCase("skaha", "images.canfar.net/skaha/terminal:1.1.2", root, options)


@pytest.fixture(params=["simulated", "skaha", *ENGINES])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "skaha":
        with skaha_case(tmp_path) as found:
            yield found
        return
    if request.param == "simulated":
        yield Case("simulated", "registry.example.org/any/image:1", tmp_path / "work", SIMULATED)
        return
    image = request.getfixturevalue("image")
    options = PODMAN | {"notebook_image": image}
    if request.param == "slurm":
        options = platform_options(request.getfixturevalue("cluster"))
    case = Case(request.param, image, tmp_path / "work", options)
    try:
        yield case
    finally:

        async def release_all() -> list[BaseException | None]:
            releases = (case.platform().release(job.id) for job in case.used)
            return await asyncio.gather(*releases, return_exceptions=True)

        failed = [end for end in asyncio.run(release_all()) if end is not None]
        assert not failed


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def test_a_job_s_life_from_data_to_release(case: Case, server: FileServer) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("sh", "-c", ":")
        item = make_item(server.url("/good"))
        assert (await platform.poll(job)).state is State.ABSENT
        path, _ = await stage_one(platform, job.id, item, make_move(item))
        assert path.is_relative_to(case.root)
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
        assert path.resolve().is_relative_to(case.root.resolve())
        assert ".." not in path.relative_to(case.root).parts
        assert len(path.name.encode()) < 240


def test_storage_is_one_directory_a_name(case: Case) -> None:
    async def live() -> None:
        platform, job, other = case.platform(), case.job(), case.job()
        first = await platform.make_storage(job.id, "results")
        assert await case.platform().make_storage(job.id, "results") == first
        assert await platform.make_storage(job.id, "scratch") != first
        assert await platform.make_storage(other.id, "results") != first

    asyncio.run(live())


def test_starting_again_starts_nothing(case: Case) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("cat", "/proc/sys/kernel/random/uuid")
        await platform.prepare(job)
        await platform.start(job)
        first = await until_exited(platform, job)
        await platform.start(job)
        assert await platform.poll(job) == first

    asyncio.run(live())


def test_stop_ends_a_running_job_and_its_status_stays(case: Case) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("sleep", "60")
        await platform.prepare(job)
        await platform.start(job)
        assert (await platform.poll(job)).state is State.RUNNING
        await platform.stop(job)
        stopped = await platform.poll(job)
        assert stopped.state is State.EXITED
        assert stopped.exit_code not in (0, None)
        await platform.stop(job)
        assert await platform.poll(job) == stopped

    asyncio.run(live())


def test_stop_and_release_of_what_never_was(case: Case) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job()
        await platform.stop(job)
        await platform.release(job.id)
        await platform.release(job.id)
        assert (await platform.poll(job)).state is State.ABSENT

    asyncio.run(live())


def test_releasing_a_running_job_leaves_its_neighbour(case: Case) -> None:
    async def live() -> None:
        platform, job, other = case.platform(), case.job("sleep", "60"), case.job("sleep", "60")
        for one in (job, other):
            await platform.prepare(one)
            await platform.start(one)
        await platform.release(job.id)
        assert (await platform.poll(job)).state is State.ABSENT
        assert (await platform.poll(other)).state is not State.ABSENT

    asyncio.run(live())


def test_a_cancelled_stage_can_be_done_again(case: Case, server: FileServer) -> None:
    async def live() -> None:
        platform, job, item = case.platform(), case.job(), make_item(server.url("/stalled"))
        staging = asyncio.create_task(stage_one(platform, job.id, item, make_move(item, seconds=30.0)))
        if case.kind == "simulated":
            await asyncio.sleep(0)
        else:
            await asyncio.to_thread(server.reached.wait, 20)
        staging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await staging
        assert not [path for path in case.root.rglob("*") if path.is_file()]
        good = make_item(server.url("/good"), uuid=item.uuid)
        await stage_one(platform, job.id, good, make_move(good))

    asyncio.run(live())


# kinds of executables, and ports


def test_ports_get_connectors_that_stay_the_same(case: Case) -> None:
    ports = (
        Port(8000, "HTTP", "/index.html", access=True),
        Port(8000),
        Port(9000, "UDP"),
        Port(8443, "HTTPS"),
    )

    if not case.publishes:
        notes = case.platform().check(Executable("test", (case.image,), ports=ports))
        assert [note.path for note in notes] == ["/executable/network/ports"]
        return

    async def live() -> None:
        platform, job = case.platform(), case.job("sleep", "60", ports=ports)
        await platform.prepare(job)
        found = await platform.start(job)
        assert [(one.internal_port, one.protocol, one.access) for one in found] == [
            (port.internal, port.protocol, port.access) for port in ports
        ]
        for port, one in zip(ports, found, strict=True):
            url = urlsplit(one.location)
            assert (url.scheme, url.port, url.path) == (port.protocol.lower(), one.port, port.path or "")
            assert url.hostname in one.addresses
        assert await platform.start(job) == found
        assert await case.platform().start(job) == found
        other = case.job("sleep", "60", ports=ports[:1])
        await platform.prepare(other)
        assert {one.port for one in found}.isdisjoint({one.port for one in await platform.start(other)})

    asyncio.run(live())


def test_without_ports_there_are_no_connectors(case: Case) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("sleep", "60")
        await platform.prepare(job)
        assert await platform.start(job) == ()

    asyncio.run(live())


def test_a_notebook_gets_its_url(case: Case, server: FileServer) -> None:
    notebook = Executable("nb", (server.url("/good"),), kind=ExecutableKind.NOTEBOOK)
    refused = case.platform().check(notebook)
    assert bool(refused) is not case.shows_notebooks
    if refused:
        return

    async def live() -> None:
        platform, job = case.platform(), replace(case.job(), executable=notebook)
        await platform.prepare(job)
        await platform.prepare(job)
        [found] = await platform.start(job)
        assert found.access
        assert found.protocol in ("HTTP", "HTTPS")
        assert "/good?token=" in found.location
        assert list(await case.platform().start(job)) == [found]
        await platform.release(job.id)
        assert not list(case.root.glob("*/*"))

    asyncio.run(live())


def test_a_singularity_container_that_is_an_oci_image_runs(case: Case) -> None:
    location = f"docker://{case.image}"
    executable = Executable("s", (location,), kind=ExecutableKind.SINGULARITY)
    assert not case.platform().check(executable)
    assert case.platform().image_seconds(executable) >= 0

    async def live() -> None:
        platform, job = case.platform(), replace(case.job(), executable=executable)
        await platform.prepare(job)
        await platform.start(job)
        assert (await until_exited(platform, job)).exit_code == 0

    asyncio.run(live())


# results


def test_results_are_kept_by_name_until_a_release_without_them(case: Case) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("sh", "-c", "echo 42 > /out/answer")
        storage = await platform.make_storage(job.id, "results")
        await platform.make_storage(job.id, "scratch")
        job = replace(job, binds=((str(storage), "/out", MountMode.READWRITE),), storage_gib=1)
        await platform.prepare(job)
        await platform.start(job)
        assert (await until_exited(platform, job)).problem is None
        await platform.release(job.id, ["results"])
        await platform.release(job.id, ["results"])
        again = case.platform()
        files = await again.list_files(job.id, "results")
        # a platform on which nothing runs has nothing to show
        assert [(file.path, file.size_bytes) for file in files] == [("answer", 3)] * (
            case.kind != "simulated"
        )
        file = await again.open_file(job.id, "results", "answer")
        if file is not None:
            with file:
                assert file.readall() == b"42\n"
        assert (file is not None) == bool(files)
        assert await again.list_files(job.id, "scratch") == ()
        for path in ("../results/answer", "/answer", "", "none", "answer/", "a\0"):
            assert await again.open_file(job.id, "results", path) is None
        await again.release(job.id)
        assert await again.list_files(job.id, "results") == ()

    asyncio.run(live())


def test_there_are_no_results_of_what_never_was(case: Case) -> None:
    async def live() -> None:
        platform = case.platform()
        assert await platform.list_files("never", "results") == ()
        assert await platform.open_file("never", "results", "answer") is None

    asyncio.run(live())


def test_starts_at_once_are_one_start(case: Case) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("cat", "/proc/sys/kernel/random/uuid")
        await platform.prepare(job)
        await asyncio.gather(*(platform.start(job) for _ in range(3)))
        first = await until_exited(platform, job)
        assert first.exit_code == 0
        assert (await platform.poll(job)).stdout == first.stdout

    asyncio.run(live())


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
    required = {each: case.options[each] for each in ("url", "token_file") if each in case.options}
    make(required | {name: 3, "io_throughput": 500.0, "bookings": []})

"""What every compute platform owes of containers: one start, one end, ports, notebooks, results."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

from broker.model import Executable, ExecutableKind, MountMode, Port
from broker.platforms import State
from tests.contracts.platform_cases import Case
from tests.contracts.platform_support import until_begun, until_exited
from tests.netprobe.servers import FileServer


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
        platform, job = case.platform(), case.job("sleep", "600")
        await platform.prepare(job)
        await platform.start(job)
        await until_begun(platform, job)
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
        platform, job, other = case.platform(), case.job("sleep", "600"), case.job("sleep", "600")
        for one in (job, other):
            await platform.prepare(one)
            await platform.start(one)
        await platform.release(job.id)
        assert (await platform.poll(job)).state is State.ABSENT
        assert (await platform.poll(other)).state is not State.ABSENT

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
        platform, job = case.platform(), case.job("sleep", "600", ports=ports)
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
        other = case.job("sleep", "600", ports=ports[:1])
        await platform.prepare(other)
        assert {one.port for one in found}.isdisjoint({one.port for one in await platform.start(other)})

    asyncio.run(live())


def test_without_ports_there_are_no_connectors(case: Case) -> None:
    async def live() -> None:
        platform, job = case.platform(), case.job("sleep", "600")
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

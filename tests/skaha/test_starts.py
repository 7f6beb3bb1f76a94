"""What a container gets at a Skaha: its words, its environment, its data, and the way to it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from broker.model import ExecutableKind, MountMode, Port
from broker.platforms import PlatformError
from tests.contracts.platform_support import CONTENT, make_item, make_move, stage_one, until_exited
from tests.netprobe.servers import file_server
from tests.skaha.platform_support import CONTRIBUTED, Site, begun, ended, job_of, live
from tests.skaha.simulator_app import Fault


def test_what_can_t_be_said_is_refused_before_anything_is_started(site: Site) -> None:
    async def story() -> None:
        job = job_of("sh", "-c", "echo begun")
        with pytest.raises(PlatformError, match="splits arguments at spaces"):
            await site.platform().prepare(job)
        with pytest.raises(PlatformError, match="splits arguments at spaces"):
            await site.platform().start(job)
        assert not site.posts()

    live(story)


def test_environment_and_arguments_arrive_by_a_script_as_they_were_sent(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    values = {
        "TOKEN": "s3cret=s3cret==",
        "LINES": "one\ntwo",
        "HOME": "/elsewhere",
        "EMPTY": "",
        "QUOTE": "'\"$\\",
    }

    async def story() -> None:
        caplog.set_level(logging.DEBUG)
        platform = site.with_staging().platform()
        names = " ".join(f'"${name}"' for name in values)
        job = job_of("sh", "-c", f'printf "[%s]" {names} "$@"', "x", "a b", "é", "", environment=values)
        status = await ended(platform, job)
        assert status.stdout == "".join(f"[{value}]" for value in (*values.values(), "a b", "é", ""))
        sent = b"".join(site.posts())
        assert b"s3cret" not in sent
        assert "s3cret" not in caplog.text
        await platform.release(job.id)
        assert not list((site.directory / "staging").rglob("*"))
        assert not site.left()

    live(story)


def test_simple_values_are_sent_in_the_body_and_are_in_no_log_and_no_message(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        caplog.set_level(logging.DEBUG)
        platform, job = site.platform(), job_of("env", environment={"TOKEN": "s3cret"})
        answer = (400, "text/plain", b"no good: TOKEN=s3cret for Bearer tok123")
        site.served.app.faults.append(Fault("POST /session", answer, 1))
        await platform.prepare(job)
        with pytest.raises(PlatformError) as refused:
            await platform.start(job)
        assert str(refused.value).endswith("refuses with status 400: no good: TOKEN=*** for Bearer ***")
        assert "TOKEN=s3cret" in (await ended(platform, job)).stdout
        assert "s3cret" not in caplog.text
        assert not [path for _, path, _, _ in site.served.app.requests if "s3cret" in path]

    live(story)


def test_data_and_storage_are_found_where_the_command_names_them_or_behind_links(
    site: Site, tmp_path: Path
) -> None:
    async def story(url: str) -> None:
        scratch = tmp_path / "scratch"
        staged = site.with_staging()
        platform = staged.platform(links_below=[str(scratch)])
        item = make_item(url)
        command = f"cat /data/cube.fits {scratch}/in/cube.fits | wc -c > /out/size"
        job = job_of("sh", "-c", command)
        data, _ = await stage_one(platform, job.id, item, make_move(item))
        inside, out = [await platform.make_storage(job.id, name) for name in ("in", "out")]
        binds = (
            (str(data), "/data/cube.fits", MountMode.READONLY),
            (str(inside), f"{scratch}/in", MountMode.READONLY),
            (str(data), f"{scratch}/in/cube.fits", MountMode.READONLY),
            (str(out), "/out", MountMode.READWRITE),
        )
        job = replace(job, binds=binds, storage_gib=1)
        status = await ended(platform, job)
        assert status.exit_code == 0, status
        file = await platform.open_file(job.id, "out", "size")
        assert file is not None
        with file:
            assert int(file.readall()) == 2 * len(CONTENT)
        # what is mounted is under the path that containers have
        assert str(tmp_path / "arc") in site.served.simulator.pods[site.pod_of(job).id].command[1]

    with file_server(CONTENT) as server:
        live(lambda: story(server.url("/good")))


def test_a_contributed_session_has_the_url_that_skaha_gives_it(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        port = Port(5000, "HTTP", "/app/", access=True)
        job = job_of(image=CONTRIBUTED, ports=(port,), entrypoint=None)
        assert not platform.check(job.executable)
        await platform.prepare(job)
        [found] = await platform.start(job)
        pod = site.pod_of(job)
        assert found.location == f"https://skaha.example.org/session/contrib/{pod.id}/app/"
        assert (found.port, found.protocol, found.internal_port) == (443, "HTTPS", 5000)
        assert list(await site.platform().start(job)) == [found]

    live(story)


def test_a_notebook_needs_storage_that_its_sessions_see(site: Site) -> None:
    executable = replace(
        job_of().executable, kind=ExecutableKind.NOTEBOOK, locations=("http://127.0.0.1/a.ipynb",)
    )
    [note] = site.platform().check(executable)
    assert note.kind == "no-staging"
    assert not site.with_staging().platform().check(executable)
    [note] = site.with_staging().platform(notebook_image=CONTRIBUTED).check(executable)
    assert note.kind == "image-type"


def test_sizes_that_skaha_has_no_more_are_an_error(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        big = replace(job_of(), cores=99, duration=timedelta(minutes=1))
        with pytest.raises(PlatformError, match="16 cores and 64 GiB at most, 99 and 1 wanted"):
            await platform.start(big)
        odd = await begun(platform, replace(job_of(), cores=3, memory_gib=5))
        assert (site.pod_of(odd).cores, site.pod_of(odd).memory_gib, site.pod_of(odd).fixed) == (3, 6, True)
        await until_exited(platform, odd)

    live(story)

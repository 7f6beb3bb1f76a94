"""Ports of containers for real: published, reached from outside, and the same again after a restart."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from broker.model import Connector, Executable, ExecutableKind, Job, MountMode, Port
from broker.platforms import Platform, PlatformError, State
from broker.platforms.podman_ports import connectors, publish_arguments
from broker.platforms.podman_run import container_name
from federation.errors import InputError
from tests.broker.podman_support import an_image, live, podman
from tests.contracts.platform_support import make_job, make_platform, until_exited
from tests.netprobe.servers import FileServer, file_server

NOTEBOOK = b'{"cells": [], "nbformat": 4}'
SERVE = ("busybox", "httpd", "-f", "-p", "8000", "-h", "/data")
WEB = Port(8000, "HTTP", "/page", access=True)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


def fetched(url: str, time_limit_seconds: float = 60.0) -> bytes:
    """What is at `url`, as soon as something is."""
    deadline = time.monotonic() + time_limit_seconds
    while True:
        try:
            with urlopen(url, timeout=2) as answer:
                data: bytes = answer.read()
                return data
        except OSError:
            assert time.monotonic() < deadline, f"nothing at {url}"
            time.sleep(0.05)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page"
    path.write_text("hello")
    return path


def web_job(image: str, page: Path, *ports: Port) -> Job:
    return make_job(image, *SERVE, ports=ports, binds=((str(page), "/data/page", MountMode.READONLY),))


@pytest.mark.podman
def test_a_page_is_fetched_through_its_connector(tmp_path: Path, image: str, page: Path) -> None:
    job = web_job(image, page, WEB, Port(8000, "TCP"), Port(9000, "UDP"))

    async def work(platform: Platform) -> Sequence[Connector]:
        first = await platform.start(job)
        assert await asyncio.to_thread(fetched, first[0].location) == b"hello"
        # as after a restart of the broker
        again = make_platform("podman", tmp_path, {"ports": "publish"})
        assert await again.start(job) == first
        return first

    web, plain, udp = live(tmp_path, job, work, ports="publish")
    assert (web.location, web.addresses) == (f"http://127.0.0.1:{web.port}/page", ("127.0.0.1",))
    assert (web.internal_port, web.protocol, web.access) == (8000, "HTTP", True)
    assert (plain.location, plain.access) == (f"tcp://127.0.0.1:{web.port}", False)
    assert udp.location == f"udp://127.0.0.1:{udp.port}"


@pytest.mark.podman
def test_the_connectors_of_an_ended_job_are_the_same(tmp_path: Path, image: str, page: Path) -> None:
    job = web_job(image, page, WEB)

    async def work(platform: Platform) -> None:
        first = await platform.start(job)
        await platform.stop(job)
        assert (await platform.poll(job)).state is State.EXITED
        assert await platform.start(job) == first

    live(tmp_path, job, work, ports="publish")


@pytest.mark.podman
@pytest.mark.parametrize("taken_for_ever", [False, True])
def test_a_port_that_somebody_took_meanwhile_is_chosen_again(
    taken_for_ever: bool, tmp_path: Path, image: str, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a podman that chooses one that is taken: the first time, or each time."""
    job = web_job(image, page, WEB)
    (tmp_path / "bin").mkdir()
    script, chosen = tmp_path / "bin" / "podman", tmp_path / "chosen"

    async def work(platform: Platform) -> bytes:
        [web] = await platform.start(job)
        assert str(web.port) not in chosen.read_text().split()
        return await asyncio.to_thread(fetched, web.location)

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        once = "" if taken_for_ever else f"&& [ ! -e {chosen} ]"
        script.write_text(
            f"""#!/bin/sh
for word; do
    shift
    if [ "$word" = 127.0.0.1::8000/tcp ] {once}; then
        word=127.0.0.1:{port}:8000/tcp
        echo {port} >>{chosen}
    fi
    set -- "$@" "$word"
done
exec {shutil.which("podman")} "$@"
"""
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
        if not taken_for_ever:
            assert live(tmp_path / "work", job, work, ports="publish") == b"hello"
            return
        with pytest.raises(PlatformError, match=r"the container can't be started: .*address already in use"):
            live(tmp_path / "work", job, work, ports="publish")
    assert not podman("ps", "--all", "--quiet", "--filter", f"name={job.id}")


@pytest.mark.podman
def test_datagrams_go_to_and_fro(tmp_path: Path, image: str) -> None:
    echo = (
        "use IO::Socket::INET; my $s = IO::Socket::INET->new(Proto => 'udp', LocalPort => 9000) or die;"
        "while ($s->recv(my $said, 1500)) { $s->send(uc $said) }"
    )
    binds = tuple(
        (host, path, MountMode.READONLY)
        for host, path in (("/usr", "/usr"), ("/usr/lib", "/lib"), ("/usr/lib64", "/lib64"))
    )
    job = make_job(image, "/usr/bin/perl", "-e", echo, ports=(Port(9000, "UDP"),), binds=binds)

    async def work(platform: Platform) -> bytes:
        [udp] = await platform.start(job)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.settimeout(0.3)
            for _ in range(180):
                ours.sendto(b"hello", ("127.0.0.1", udp.port))
                try:
                    return ours.recv(1500)
                except OSError:
                    await asyncio.sleep(0.05)
        raise AssertionError((await platform.poll(job)).stderr)

    assert live(tmp_path, job, work, ports="publish") == b"HELLO"


@pytest.mark.podman
def test_a_job_that_publishes_nothing_has_no_network_beside_one_that_does(tmp_path: Path, image: str) -> None:
    async def work(platform: Platform) -> str:
        return await asyncio.to_thread(podman, "inspect", container_name(job.id))

    job = make_job(image, "sleep", "3600")
    assert '"NetworkMode": "none"' in live(tmp_path, job, work, ports="publish")


# without an engine


def test_a_port_is_refused_unless_the_operator_publishes_ports(tmp_path: Path) -> None:
    executable = Executable("web", ("ghcr.io/a/b:1",), ports=(WEB,))
    notes = {note.kind: note for note in make_platform("podman", tmp_path).check(executable)}
    assert notes["ports"].text == (
        "here publishes no ports: its operator would set the platform's option ports to 'publish'"
    )
    assert notes["ports"].path == "/executable/network/ports"
    allowed = make_platform("podman", tmp_path, {"ports": "publish"}).check(executable)
    assert "ports" not in [note.kind for note in allowed]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ports": "open"}, "'ports': expected 'publish' or 'refuse', got 'open'"),
        ({"publish_address": "here"}, "'publish_address': expected an IP address"),
        ({"publish_address": "0.0.0.0"}, "'public_address': expected how 0.0.0.0 is reached from outside"),
        ({"ports": "publish", "network": "host"}, "'network': expected 'none' or a network of podman's"),
        ({"notebook_command": ["jupyter", 3]}, "'notebook_command': expected a list of texts"),
        ({"notebook_port": 0}, "'notebook_port': expected 1 to 65535, got 0"),
        ({"processes": 0}, "'processes': expected 1 or more, got 0"),
        ({"stop_seconds": 60.0}, "'stop_seconds': expected 0 to 45, got 60.0"),
        ({"pull_seconds": 0}, "'pull_seconds': expected a positive number, got 0.0"),
    ],
)
def test_options_that_can_not_work_end_at_start_up(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=f"site 'here': option {said}"):
        make_platform("podman", tmp_path, options)


def test_two_ports_of_one_number_are_published_once_and_each_has_its_connector() -> None:
    ports = (Port(80, "HTTP", "index.html", access=True), Port(80), Port(80, "HTTPS"), Port(80, "UDP"))
    options = {"network": "none", "publish_address": "::1", "public_address": "gate.example"}
    said = publish_arguments(ports, options)
    assert said == ["--network", "bridge", "--publish", "[::1]::80/tcp", "--publish", "[::1]::80/udp"]
    published = {"80/tcp": [{"HostPort": "4001"}], "80/udp": [{"HostPort": "4002"}]}
    found = [connector.location for connector in connectors(ports, published, options)]
    assert found == [
        "http://gate.example:4001/index.html",
        "tcp://gate.example:4001",
        "https://gate.example:4001",
        "udp://gate.example:4002",
    ]
    without = {**options, "public_address": None}
    assert connectors(ports[:1], published, without)[0].location == "http://[::1]:4001/index.html"
    with pytest.raises(ValueError, match="port 81/tcp is not published"):
        connectors([Port(81)], published, options)


# notebooks


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(NOTEBOOK) as server:
        yield server


def notebook_job(url: str) -> Job:
    job = make_job("unused")
    return replace(job, executable=Executable("nb", (url,), kind=ExecutableKind.NOTEBOOK))


def notebook_options(image: str) -> dict[str, object]:
    serve = ["busybox", "httpd", "-f", "-p", "{port}", "-h", "{directory}"]
    path = "/{notebook}"
    return {
        "ports": "publish",
        "notebook_image": image,
        "notebook_command": serve,
        "notebook_path": path,
        "stop_seconds": 0.0,
    }


@pytest.mark.podman
def test_a_notebook_is_brought_and_served_at_its_connector(
    tmp_path: Path, image: str, server: FileServer
) -> None:
    job, options = notebook_job(server.url("/good")), notebook_options(image)
    assert not make_platform("podman", tmp_path, options).check(job.executable)

    async def work(platform: Platform) -> None:
        [first] = await platform.start(job)
        assert first.access
        location, _, token = first.location.partition("?token=")
        assert location == f"http://127.0.0.1:{first.port}/good"
        assert len(token) == 48
        assert await asyncio.to_thread(fetched, first.location) == NOTEBOOK
        assert list(await make_platform("podman", tmp_path, options).start(job)) == [first]
        # the token goes in by the environment, and is on nobody's command line
        inside = await asyncio.to_thread(
            podman, "exec", container_name(job.id), "cat", "/proc/1/environ", "/proc/1/cmdline"
        )
        variables, _, line = inside.rpartition("busybox\0httpd")
        assert f"JUPYTER_TOKEN={token}" in variables
        assert token not in line

    live(tmp_path, job, work, **options)


@pytest.mark.podman
def test_a_notebook_that_became_a_link_is_not_touched_again(
    tmp_path: Path, image: str, server: FileServer
) -> None:
    job, ours = notebook_job(server.url("/good")), tmp_path / "ours"
    ours.write_text("the machine's own")
    ours.chmod(0o600)

    async def work(platform: Platform) -> None:
        [there] = (tmp_path / "work").rglob("good")
        there.unlink()
        there.symlink_to(ours)
        await platform.prepare(job)
        await make_platform("podman", tmp_path / "work", notebook_options(image)).prepare(job)
        assert there.is_symlink()
        assert ours.stat().st_mode & 0o777 == 0o600

    live(tmp_path / "work", job, work, **notebook_options(image))


@pytest.mark.podman
def test_a_notebook_that_is_not_there_is_an_error(tmp_path: Path, image: str, server: FileServer) -> None:
    job = notebook_job(server.url("/missing"))

    async def work(platform: Platform) -> None:
        raise AssertionError("it was started")

    with pytest.raises(PlatformError, match="404"):
        live(tmp_path, job, work, **notebook_options(image))


def test_notebooks_need_an_image_of_the_operator_s(tmp_path: Path) -> None:
    executable = notebook_job("https://example.org/a.ipynb").executable
    without = make_platform("podman", tmp_path)
    [note] = without.check(executable)
    assert without.image_seconds(executable) > 0
    assert note.text == "here runs no notebooks: its operator would set the platform's option notebook_image"
    options = {"notebook_image": "ghcr.io/jupyter/base:1"}
    kinds = {note.kind for note in make_platform("podman", tmp_path, options).check(executable)}
    assert "notebook-image" not in kinds
    assert "ports" in kinds


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("docker://ghcr.io/a/b:1", None),
        ("oras://ghcr.io/a/b:1", "singularity-image"),
        ("library://a/b:1", "singularity-image"),
        ("https://example.org/a.sif", "singularity-image"),
        ("docker://--privileged", "image-location"),
        ("docker://localhost/nothing-like-it:1", "image-absent"),
    ],
)
def test_of_singularity_images_podman_runs_those_that_are_oci_images(
    tmp_path: Path, location: str, kind: str | None
) -> None:
    executable = Executable("s", (location,), kind=ExecutableKind.SINGULARITY)
    notes = make_platform("podman", tmp_path).check(executable)
    assert [note.kind for note in notes if note.kind != "platform"] == ([kind] if kind else [])
    assert all(note.path == "/executable/location" for note in notes if note.kind != "platform")


@pytest.mark.podman
def test_a_singularity_container_by_docker_runs(tmp_path: Path, image: str) -> None:
    executable = Executable("s", (f"docker://{image}",), kind=ExecutableKind.SINGULARITY, command=("ls",))
    job = replace(make_job("unused"), executable=executable)

    async def work(platform: Platform) -> int | None:
        return (await until_exited(platform, job)).exit_code

    assert live(tmp_path, job, work) == 0

"""What a server does, run for real on this machine; and what is read from its console."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import DataItem, Executable, Job, MountMode
from broker.platforms import PlatformError, openstack_lines
from broker.platforms.engine_conf import engine_flags
from broker.platforms.openstack_learnt import came_of, measurements
from broker.platforms.openstack_options import openstack_options
from broker.platforms.openstack_user_data import LONGEST, ROOT, Data, file_of, plan_of, user_data
from broker.platforms.places import data_path, storage_path
from broker.platforms.podman_cli import usable
from federation.sites import Place, Platform, Site
from netprobe.addresses import Allowed
from tests.broker.images.real import make_image, make_layer, real_registry, registries_file
from tests.broker.images.test_offers import remove_pulled
from tests.broker.podman_support import an_image
from tests.cloud.guest import booted, script_of
from tests.contracts.platform_support import CONTENT, make_item, make_move
from tests.netprobe.servers import FileServer, file_server

WORD = "0123456789abcdef"
LOOPBACK = Allowed(hosts=("127.0.0.1:*",))
PATIENCE_SECONDS = 180.0
# without what is installed for us: a server has the standard library
PYTHON = os.path.realpath(sys.executable)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def options(**more: Any) -> Any:
    flags = engine_flags()
    engine = {"engine": ["podman", *flags.everywhere], "engine_run": list(flags.run)}
    limits = "required" if usable() is None else "none"
    given = {"image": "tiny", "limits": limits, "python": PYTHON, **engine, **more}
    platform = Platform("openstack", 4, 8, 10, options=given)
    return openstack_options(Site("here", "Here", Place(0, 0), platform=platform))


def job_of(image: str, *command: str, **more: Any) -> Job:
    executable = Executable("test", (image,), command=command)
    return replace(Job(str(uuid.uuid4()), "here", executable, 1, 1, timedelta(minutes=5)), **more)


def with_item(job: Job, item: DataItem) -> tuple[Job, Data]:
    """The job with the item at /in, and a storage at /out."""
    path, out = data_path(ROOT, job.id, item), storage_path(ROOT, job.id, "out")
    binds = ((str(path), "/in", MountMode.READONLY), (str(out), "/out", MountMode.READWRITE))
    other = item.checksum is not None and item.checksum[0] != "sha256"
    checksums = {str(path): item.checksum} if other and item.checksum is not None else {}
    files = (file_of(item, make_move(item), path),)
    return replace(job, binds=binds), Data(files, checksums, (str(out),))


def heard(console: Path, step: str, stdout: str | None = None) -> dict[str, Any]:
    """The server's report, once it is of that step, and the container has written `stdout`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        text = console.read_text(errors="replace")
        found = openstack_lines.read(WORD, text)
        if found is not None and found[1]["step"] == step and stdout in (None, found[1].get("stdout")):
            return found[1]
        assert time.monotonic() < deadline, (found, text[-2000:])
        time.sleep(0.05)


def end_of(job: Job, directory: Path, data: Data = Data(), allowed: Allowed = LOOPBACK, **more: Any) -> Any:  # noqa: B008
    chosen = options(**more)
    script = user_data(plan_of(job, WORD, data, allowed, chosen), chosen["python"])
    console = directory / "console"
    with booted(script, console, job.id, directory):
        return heard(console, "end")


@pytest.mark.podman
@pytest.mark.parametrize("algorithm", ["sha256", "adler32", "md5"])
def test_data_is_fetched_and_verified_and_the_container_s_end_is_told(
    image: str, server: FileServer, tmp_path: Path, algorithm: str
) -> None:
    checksum = (
        f"{zlib.adler32(CONTENT):08x}"
        if algorithm == "adler32"
        else hashlib.new(algorithm, CONTENT).hexdigest()
    )
    item = make_item(server.url("/good?signature=hidden"), checksum=(algorithm, checksum))
    job = job_of(image, "sh", "-c", 'cat /in > /out/copy && wc -c < /out/copy && echo "$WORD" >&2; exit 3')
    job = replace(job, executable=replace(job.executable, environment={"WORD": "a = 'b'  $c"}))
    job, data = with_item(job, item)
    asked = datetime.now(UTC)
    end = end_of(job, tmp_path, data)
    came = came_of(end, asked, datetime.now(UTC))
    assert came is not None
    assert asked <= came.began
    [moved] = measurements(came, data.files, "server", "here")
    assert (moved.source, moved.figures["size_bytes"]) == ("there", len(CONTENT))
    assert (end.pop("pulled"), end.pop("came")["sizes"]) == (0.0, [len(CONTENT)])
    assert end == {"step": "end", "exit_code": 3, "stdout": f"{len(CONTENT)}\n", "stderr": "a = 'b'  $c\n"}
    assert "hidden" not in (tmp_path / "console").read_text()


@pytest.mark.podman
def test_what_a_server_cannot_do_is_one_line(image: str, server: FileServer, tmp_path: Path) -> None:
    good = make_item(server.url("/good?key=hidden"))
    for name, item, more, expected in (
        (
            "wrong",
            replace(good, checksum=("sha256", "0" * 64)),
            {},
            "data: .*wrong checksum: expected sha256:000",
        ),
        (
            "adler",
            replace(good, checksum=("adler32", "0" * 8)),
            {},
            "data: .*wrong checksum: expected adler32:000",
        ),
        (
            "absent",
            make_item(server.url("/missing")),
            {},
            r"data: http://127.0.0.1:\d+/missing.*404",
        ),
        ("private", good, {"allowed": Allowed()}, "data: .*127.0.0.1 is no public address"),
        ("engine", good, {"engine": ["no-such-engine"]}, "the servers' image has no no-such-engine"),
    ):
        directory = tmp_path / name
        directory.mkdir()
        job, data = with_item(job_of(image, "true"), item)
        end = end_of(job, directory, data, **more)
        assert end["exit_code"] is None
        assert re.match(expected, end["problem"]), end
        assert "hidden" not in json.dumps(end)


@pytest.mark.podman
def test_a_pull_is_told_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with real_registry(tmp_path / "registry") as registry:
        registry.push("a/tool", "1", make_image(make_layer({"own": str(registry.host).encode()})))
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries_file(tmp_path, registry.host)))
        begun = time.monotonic()
        try:
            # it has nothing that could run
            end = end_of(job_of(f"{registry.host}/a/tool:1", "true"), tmp_path)
        finally:
            remove_pulled(registry)
    assert end["exit_code"] not in (None, 0), end
    assert 0 < end["pulled"] < time.monotonic() - begun


@pytest.mark.podman
def test_an_image_that_is_not_the_one_that_was_asked_for(image: str, tmp_path: Path) -> None:
    job = job_of(image, "true")
    other = replace(job.executable, digest=f"sha256:{'1' * 64}")
    end = end_of(replace(job, executable=other), tmp_path)
    assert end["problem"].startswith(f"the image can't be had: {image.rpartition(':')[0]}@sha256:1")


@pytest.mark.podman
def test_a_server_that_halts_ends_its_container_and_tells(image: str, tmp_path: Path) -> None:
    chosen, console = options(), tmp_path / "console"
    job = job_of(image, "sh", "-c", "trap 'echo over; exit 7' TERM; echo begun; while :; do sleep 0.1; done")
    script = user_data(plan_of(job, WORD, Data(), LOOPBACK, chosen), chosen["python"])
    with booted(script, console, job.id, tmp_path) as process:
        heard(console, "run", "begun\n")
        os.kill(process.pid, signal.SIGTERM)
        end = heard(console, "end")
        assert process.wait(PATIENCE_SECONDS) == 0
    assert (end["exit_code"], end["stdout"]) == (7, "begun\nover\n")


def test_the_script_keeps_secrets_and_fits(tmp_path: Path) -> None:
    chosen = options()
    items = [make_item(f"https://data.example.org/survey/{number}/cube.fits") for number in range(200)]
    files = tuple(file_of(item, make_move(item), data_path(ROOT, "j", item)) for item in items)
    data = user_data(plan_of(job_of("a/b:1"), WORD, Data(files), LOOPBACK, chosen), chosen["python"])
    assert len(data) <= LONGEST
    assert script_of(data).startswith(f"#!{PYTHON}\n")
    noise = replace(job_of("a/b:1").executable, environment={"A": os.urandom(25_000).hex()})
    with pytest.raises(
        PlatformError, match=r"takes .. KiB to say, and Nova takes 64 KiB: expected fewer files"
    ):
        user_data(
            plan_of(job_of("a/b:1", executable=noise), WORD, Data(), LOOPBACK, chosen), chosen["python"]
        )


# lines on a console

TEXT = st.text(max_size=3000)


@given(TEXT, TEXT, st.integers(0, 255), st.data())
def test_reports_are_read_among_whatever_else_is_there(
    out: str, other: str, code: int, data: st.DataObject
) -> None:
    first = openstack_lines.written(WORD, 1, {"step": "run", "stdout": "before"})
    second = openstack_lines.written(WORD, 2, {"step": "end", "exit_code": code, "stdout": out})
    lines = [*first, *second]
    for line in list(other.splitlines()):
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    found = openstack_lines.read(WORD, "\r\n".join(lines))
    assert found == (2, {"step": "end", "exit_code": code, "stdout": out})
    assert openstack_lines.read("fedcba9876543210", "\n".join(lines)) is None


@given(st.binary(min_size=600, max_size=3000), st.data())
def test_a_report_that_is_not_whole_does_not_count_until_it_is_said_again(
    noise: bytes, data: st.DataObject
) -> None:
    first = openstack_lines.written(WORD, 1, {"step": "run"})
    second = openstack_lines.written(WORD, 2, {"step": "end", "stdout": noise.hex()})
    position = data.draw(st.integers(0, len(second) - 1))
    cut = data.draw(st.integers(0, len(second[position]) - 1))
    damaged = [*second[:position], second[position][:cut] + "[ 9.1] kernel", *second[position + 1 :]]
    console = "\n".join([*first, *damaged])
    assert openstack_lines.read(WORD, console) == (1, {"step": "run"})
    again = "\n".join([console, *second])
    found = openstack_lines.read(WORD, again)
    assert found is not None
    assert found[1]["stdout"] == noise.hex()

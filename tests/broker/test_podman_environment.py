"""What a client hands to its container stays between the two: variables, and what limits the container."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import Job, MountMode
from broker.platforms import Platform, PlatformError, Status
from broker.platforms.podman_run import LINE_BYTES, SECRET_BYTES, container_name, split_environment
from tests.broker.podman_support import an_image, live, podman
from tests.contracts.platform_support import make_job, until_exited

SECRET = "hunter2-" + "x" * 8


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with an_image() as name:
        yield name


def run(root: Path, job: Job, **options: Any) -> Status:
    return live(root, job, lambda platform: until_exited(platform, job), **options)


VALUES = {
    "PLAIN": "two words = $HOME",
    "BLANKS": "  \t around \t ",
    "QUOTES": "\"double\" 'single' `back` \\n",
    "COMMENT": "# not one",
    "EMPTY": "",
    "LETTERS": "Grüße, 世界",
    "LINES": "a\nb\n\n",
    "RETURN": "ends in a return\r",
    "LONG": "y" * (LINE_BYTES + 1),
    # podman itself must never see these
    "LD_PRELOAD": "/nowhere/evil.so",
    "CONTAINERS_CONF": "/nowhere/evil.conf",
    "HTTP_PROXY": "http://mine.example:1",
}


@pytest.mark.podman
def test_every_value_arrives_as_it_is(tmp_path: Path, image: str) -> None:
    storage = tmp_path / "out"
    storage.mkdir()
    job = make_job(
        image,
        "cp",
        "/proc/self/environ",
        "/out/environ",
        entrypoint="busybox",
        environment=VALUES,
        binds=((str(storage), "/out", MountMode.READWRITE),),
    )
    assert run(tmp_path / "work", job).exit_code == 0
    written = (storage / "environ").read_bytes().decode()
    found = dict(part.split("=", 1) for part in written.split("\0") if part)
    assert {name: found[name] for name in VALUES} == VALUES
    assert not podman("secret", "ls", "--quiet", "--filter", f"name={container_name(job.id)}")


@pytest.mark.podman
def test_no_value_is_on_a_command_line_or_open_to_others(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Command lines are read from a podman that writes down its own."""
    seen, real = tmp_path / "seen", tmp_path / "bin"
    real.mkdir()
    note = f'tr "\\0" " " < /proc/$$/cmdline >> {seen}; env >> {seen}'
    (real / "podman").write_text(f'#!/bin/sh\n{note}\nexec {shutil.which("podman")} "$@"\n')
    (real / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{real}:{os.environ['PATH']}")
    caplog.set_level("DEBUG")
    job = make_job(image, "sleep", "3600", environment={"TOKEN": SECRET, "KEY": f"{SECRET}\nmore"})

    async def work(platform: Platform) -> None:
        files = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
        holding = [path for path in files if SECRET in path.read_text(errors="replace")]
        assert len(holding) == 2
        assert all(path.stat().st_mode & 0o077 == 0 for path in holding)

    live(tmp_path / "work", job, work)
    assert " run --detach" in seen.read_text()
    assert SECRET not in seen.read_text()
    assert SECRET not in caplog.text


@pytest.mark.podman
def test_an_error_tells_nothing_of_the_environment(tmp_path: Path, image: str) -> None:
    job = make_job(image, "no-such-program", environment={"TOKEN": SECRET, "KEY": f"{SECRET}\nmore"})
    with pytest.raises(PlatformError) as caught:
        run(tmp_path, job)
    assert "no-such-program" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not podman("secret", "ls", "--quiet", "--filter", f"name={container_name(job.id)}")


@pytest.mark.podman
def test_the_broker_s_own_variables_do_not_reach_a_container(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "http_proxy", "FAIRLEAD_ADMIN_PASSWORD"):
        monkeypatch.setenv(name, f"http://u:{SECRET}@proxy.example:1")
    job = make_job(image, "cat", "/proc/self/environ")
    assert SECRET not in run(tmp_path, job).stdout


@pytest.mark.podman
def test_limits_and_rights_are_always_set(tmp_path: Path, image: str) -> None:
    job = make_job(image, "sleep", "3600")

    async def work(platform: Platform) -> tuple[dict[str, Any], str]:
        name = container_name(job.id)
        inspected = await asyncio.to_thread(podman, "inspect", name)
        status = await asyncio.to_thread(podman, "exec", name, "cat", "/proc/1/status")
        return json.loads(inspected)[0]["HostConfig"], status

    limits, status = live(tmp_path, job, work, processes=50)
    assert (limits["Memory"], limits["MemorySwap"]) == (2**30, 2**30)
    assert (limits["NanoCpus"], limits["PidsLimit"]) == (10**9, 50)
    assert "NoNewPrivs:\t1" in status


@pytest.mark.podman
def test_a_fork_bomb_ends_at_the_limit_of_processes(tmp_path: Path, image: str) -> None:
    script = "i=0; while [ $i -lt 40 ]; do sleep 3600 & i=$((i+1)); done; echo all"
    status = run(tmp_path, make_job(image, "sh", "-c", script), processes=20)
    assert "can't fork" in status.stderr
    assert "all" not in status.stdout


@pytest.mark.podman
def test_more_memory_than_offered_is_death(tmp_path: Path, image: str) -> None:
    # a file in memory counts as memory
    script = "busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=60; busybox tail /dev/zero"
    status = run(tmp_path, make_job(image, "sh", "-c", script))
    assert status.exit_code == 137
    assert status.problem == "it wanted more memory than the 1 GiB that were offered"


# without an engine


@given(
    st.dictionaries(
        st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.-]*\Z"),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        max_size=8,
    )
)
def test_each_variable_goes_one_way_and_no_line_is_two(environment: dict[str, str]) -> None:
    lines, secrets = split_environment(environment)
    assert {**lines, **secrets} == environment
    assert not lines.keys() & secrets.keys()
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    # as Go's bufio.Scanner splits lines
    read = [line.removesuffix("\r").split("=", 1) for line in text.split("\n")[:-1]]
    assert dict(read) == lines


@pytest.mark.parametrize("name", ["", "A=B", "A B", "A,target=B", "A\nB", "*", "#A", "Ä"])
def test_a_name_can_carry_nothing_else(name: str) -> None:
    with pytest.raises(PlatformError, match="can't be the name of an environment variable"):
        split_environment({name: "x"})


@pytest.mark.parametrize("value", ["\0", "x" * (SECRET_BYTES + 1), "\ud800"])
def test_what_no_variable_can_hold_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(
        PlatformError, match="the value of the environment variable KEY can't be had"
    ) as caught:
        split_environment({"KEY": value})
    assert len(str(caught.value)) < 200

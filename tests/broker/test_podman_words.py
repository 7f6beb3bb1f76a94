"""What is said to podman, and what is read from it: no engine is needed."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CalledProcessError, CompletedProcess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import Executable, MountMode
from broker.platforms import PlatformError, podman_cli, podman_store
from broker.platforms.container_log import TAIL_BYTES, parse_log, read_log
from broker.platforms.engine_conf import EngineFlags, flags_for, is_hybrid
from broker.platforms.podman_cli import is_reference, qualified
from broker.platforms.podman_options import DEFAULTS
from broker.platforms.podman_run import run_arguments
from federation.errors import InputError
from tests.contracts.platform_support import make_job, make_platform

ORDINARY = {"nofile": 1_048_576, "nproc": -1, "may_raise": False, "hybrid": False, "has_runc": False}
ULIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=10000:10000")
RUNC = ("--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file")


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({}, EngineFlags()),
        ({"nofile": 20_000, "nproc": 10_000, "may_raise": True}, EngineFlags()),
        ({"nofile": 20_000, "nproc": 10_000}, EngineFlags(run=ULIMITS)),
        ({"has_runc": True}, EngineFlags()),
        ({"hybrid": True, "has_runc": True}, EngineFlags(RUNC)),
        ({"hybrid": True, "has_runc": True, "nofile": 20_000, "nproc": 10_000}, EngineFlags(RUNC, ULIMITS)),
    ],
)
def test_podman_is_told_only_what_the_machine_needs(machine: dict[str, Any], expected: EngineFlags) -> None:
    assert flags_for(**{**ORDINARY, **machine}) == expected


def test_hybrid_control_groups_without_runc_are_an_obstacle_in_words() -> None:
    obstacle = flags_for(**{**ORDINARY, "hybrid": True}).obstacle
    assert obstacle is not None
    assert "install the package runc" in obstacle


def test_which_control_groups_are_mounted() -> None:
    one = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
    two = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    assert is_hybrid(one + two)
    assert not is_hybrid(one)
    assert not is_hybrid(two)
    assert not is_hybrid("")


@pytest.mark.parametrize(
    "location",
    [
        "localhost/fairlead-checksum:1",
        "ghcr.io/ivoa/oligia-webtop:ubuntu-2022.01.13",
        "busybox",
        "127.0.0.1:5000/a/b@sha256:" + "ab" * 32,
    ],
)
def test_names_of_images(location: str) -> None:
    assert is_reference(location)


@pytest.mark.parametrize(
    "location",
    [
        "--privileged",
        "-v",
        "",
        "dir:/etc",
        "oci-archive:/tmp/x",
        "docker://a/b",
        "a b",
        "a\nb",
        "Upper/Case/é",
        "a/../b",
        "localhost/x:1 --privileged",
        "ghcr.io/a@sha256:short",
    ],
)
def test_what_is_no_name_of_an_image_is_refused(tmp_path: Path, location: str) -> None:
    assert not is_reference(location)
    notes = make_platform("podman", tmp_path).check(Executable("x", (location,)))
    assert [note.kind for note in notes] in (["image-location"], ["platform"])


@pytest.mark.parametrize(
    ("location", "whole"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("ivoa/tool:1", "docker.io/ivoa/tool:1"),
        ("ghcr.io/ivoa/tool:1", "ghcr.io/ivoa/tool:1"),
        ("localhost/x", "localhost/x"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x"),
        # not the transports of these names: a file of this machine must never be read as an image
        ("docker-archive:x", "docker.io/library/docker-archive:x"),
    ],
)
def test_short_names_are_completed_as_docker_does(location: str, whole: str) -> None:
    assert qualified(location) == whole


def arguments(tmp_path: Path, *command: str, **more: Any) -> list[str]:
    job = make_job("localhost/x:1", *command, **more)
    return run_arguments(job, "image-id", tmp_path, DEFAULTS)


def test_what_the_client_says_comes_after_the_image(tmp_path: Path) -> None:
    said = arguments(tmp_path, "--privileged", "-v", "/:/host", entrypoint="--privileged")
    assert said[said.index("image-id") + 1 :] == ["--privileged", "-v", "/:/host"]
    assert "--privileged" not in said[: said.index("image-id")]
    assert "--entrypoint=--privileged" in said


@pytest.mark.parametrize("path", ["data", "", "/data:rw,dev", "/a,b", "/a\nb", "/a\0b"])
def test_a_mount_path_can_not_carry_options(tmp_path: Path, path: str) -> None:
    with pytest.raises(PlatformError, match="can't be a mount path"):
        arguments(tmp_path, binds=(("/tmp/x", path, MountMode.READONLY),))


@pytest.mark.parametrize("name", ["", "A=B"])
def test_an_environment_name_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlatformError, match="environment variable"):
        arguments(tmp_path, environment={name: "x"})


def test_privileged_only_where_the_site_allows_it(tmp_path: Path) -> None:
    executable = Executable("x", ("ghcr.io/a/b:1",), privileged=True)
    refused = make_platform("podman", tmp_path).check(executable)
    assert "privileged" in [note.kind for note in refused]
    allowed = make_platform("podman", tmp_path, {"privileged": True}).check(executable)
    assert "privileged" not in [note.kind for note in allowed]


def test_limits_are_left_out_only_where_the_site_says_so(tmp_path: Path) -> None:
    job = make_job("localhost/x:1")
    assert "--memory" in run_arguments(job, "id", tmp_path, DEFAULTS)
    assert "--memory" not in run_arguments(job, "id", tmp_path, {**DEFAULTS, "limits": "none"})
    with pytest.raises(InputError, match="'limits': expected 'required' or 'none', got 'perhaps'"):
        make_platform("podman", tmp_path, {"limits": "perhaps"})


# the log

TEXT = st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=40)


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), TEXT, st.booleans()), max_size=30))
def test_a_log_is_split_into_its_two_streams(lines: list[tuple[str, str, bool]]) -> None:
    log, expected = "", {"stdout": "", "stderr": ""}
    for stream, text, whole in lines:
        log += f"2026-01-01T00:00:00.000000000+00:00 {stream} {'F' if whole else 'P'} {text}\n"
        expected[stream] += text + ("\n" if whole else "")
    assert parse_log(log.encode()) == (expected["stdout"], expected["stderr"])


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"t stdout F {number:060}\n" for number in range(50_000)))
    stdout, stderr = read_log(path)
    assert len(stdout) == TAIL_BYTES
    assert stdout.endswith(f"{49_999:060}\n")
    assert stderr == ""
    assert read_log(tmp_path / "absent") == ("", "")


# whether podman works at all


def test_a_podman_that_works_is_tried_once_and_a_broken_one_again_after_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[str | None] = ["podman is not installed", None]
    now = [1000.0]
    monkeypatch.setattr(podman_cli, "_probed", podman_cli._Probed())
    monkeypatch.setattr(podman_cli, "_probe", lambda: answers.pop(0))
    monkeypatch.setattr(podman_cli.time, "monotonic", lambda: now[0])
    assert [podman_cli.usable(), podman_cli.usable()] == ["podman is not installed"] * 2
    now[0] += podman_cli.PROBE_SECONDS
    assert [podman_cli.usable(), podman_cli.usable()] == [None, None]
    assert answers == []


@pytest.mark.podman
def test_those_who_try_podman_at_the_same_time_share_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman removes one with its last image, also while another process makes an image of it."""
    made: list[bytes] = []

    def run(*arguments: str, stdin: bytes = b"") -> None:
        made.extend([stdin] * (arguments[0] == "import"))

    monkeypatch.setattr(podman_cli, "_run", run)
    for _ in range(2):
        monkeypatch.setattr(podman_cli, "_probed", podman_cli._Probed())
        assert podman_cli.usable() is None
    assert len(set(made)) == 2


@pytest.mark.podman
def test_what_others_tidied_up_is_no_fault_of_podman(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def run(*arguments: str, stdin: bytes = b"") -> None:
        if "prune" in arguments:
            raise CalledProcessError(125, "podman", stderr=b"Error: image not known")
        done.append(arguments[0])

    monkeypatch.setattr(podman_cli, "_run", run)
    monkeypatch.setattr(podman_cli, "_probed", podman_cli._Probed())
    assert podman_cli.usable() is None
    assert done == ["import", "run", "rmi"]


def test_images_are_listed_again_where_podman_stumbles(monkeypatch):
    """`podman images` fails where an image goes while it lists them: there are some all the same."""
    stumbles = [CalledProcessError(125, "podman"), CalledProcessError(125, "podman")]

    def run(*_, **__):
        if stumbles:
            raise stumbles.pop()
        return CompletedProcess([], 0, json.dumps([{"Names": ["localhost/here:1"]}]))

    monkeypatch.setattr(podman_store.subprocess, "run", run)
    images = podman_store.Images()
    assert images.has(["localhost/here:1"])
    stumbles += [CalledProcessError(125, "podman")] * 3
    assert images.has(["localhost/here:1"])
    assert not images.has(["localhost/other:1"])
    assert images.has(["localhost/here:1"])

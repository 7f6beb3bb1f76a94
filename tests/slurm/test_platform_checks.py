"""What a Slurm site can't run, told beforehand: the request's mistakes, and what its host lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.model import Executable, ExecutableKind, Port
from broker.platforms.slurm import SlurmPlatform
from broker.platforms.slurm_images import check_image
from broker.platforms.slurm_options import DEFAULTS
from federation.clock import SystemClock
from federation.hosts import SshHost
from federation.sites import Federation
from tests.slurm.platform_support import site

OCI = Executable("x", ("registry.example.org/a/b:1",))
SIF = Executable("x", ("oras://registry.example.org/a:1",), kind=ExecutableKind.SINGULARITY)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all programs that there are."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sbatch", "squeue", "podman", "apptainer", "singularity", "sudo"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize(
    ("executable", "options", "path"),
    [
        (replace(OCI, ports=(Port(80),)), {}, "/executable/network/ports"),
        (replace(OCI, kind=ExecutableKind.NOTEBOOK), {}, "/executable"),
        (replace(OCI, privileged=True), {}, "/executable/privileged"),
        (replace(OCI, locations=()), {}, "/executable/image/locations"),
        (replace(OCI, locations=("-x",)), {}, "/executable/image/locations"),
        (SIF, {}, "/executable/location"),
        (replace(SIF, locations=("docker-daemon://x",)), {"runtime": "apptainer"}, "/executable/location"),
        (replace(SIF, locations=("oras://a b",)), {"runtime": "singularity"}, "/executable/location"),
        (replace(OCI, environment={"a-b": "1"}), {"runtime": "apptainer"}, "/executable/environment"),
        (OCI, {"runtime": "none"}, "/executable/image/locations"),
        (OCI, {"runtime": "none", "bare_images": ["registry.example.org/*"]}, "/executable/command"),
    ],
)
def test_what_a_site_cannot_run_is_refused_with_its_path(
    executable: Executable, options: dict[str, Any], path: str, tmp_path: Path, programs: Path
) -> None:
    made = site(**options)
    platform = SlurmPlatform(made, Federation("test", {"perth": made}), SystemClock(), tmp_path)
    assert [note.path for note in platform.check(executable)] == [path]


@pytest.mark.parametrize(
    ("executable", "options", "gone", "said"),
    [
        (OCI, {}, "podman", ["podman"]),
        (OCI, {"runtime": "apptainer"}, "apptainer", ["apptainer"]),
        (OCI, {"runtime": "apptainer"}, "podman", []),
        (OCI, {"runtime": "apptainer", "engine": ["/opt/apptainer"]}, "podman", ["/opt/apptainer"]),
        (OCI, {"engine": ["sudo", "podman"]}, "sudo", ["sudo"]),
        (OCI, {}, "sbatch", ["sbatch"]),
        (OCI, {"rest_url": "unix:/run/slurmrestd"}, "sbatch", []),
        # the nodes have their own
        (replace(SIF, locations=("https://a.example/x.sif",)), {"runtime": "apptainer"}, "apptainer", []),
        (SIF, {"runtime": "apptainer"}, "apptainer", ["apptainer"]),
    ],
)
def test_what_its_host_lacks_is_told_beforehand(
    executable: Executable,
    options: dict[str, Any],
    gone: str,
    said: list[str],
    tmp_path: Path,
    programs: Path,
) -> None:
    made = site(**options)
    platform = SlurmPlatform(made, Federation("test", {"perth": made}), SystemClock(), tmp_path)
    (programs / gone).unlink()
    texts = [f"perth can't run containers: its host has no command {each}" for each in said]
    assert [each.text for each in platform.check(executable)] == texts


def test_a_host_over_ssh_is_not_judged_by_this_machine_s_programs(tmp_path: Path, programs: Path) -> None:
    (programs / "podman").unlink()
    made = site(SshHost("login.example.org"), staging=str(tmp_path))
    platform = SlurmPlatform(made, Federation("test", {"perth": made}), SystemClock(), tmp_path)
    assert list(platform.check(OCI)) == []


@pytest.mark.parametrize(
    ("executable", "runtime"),
    [
        (OCI, "podman"),
        (OCI, "apptainer"),
        (SIF, "apptainer"),
        (replace(SIF, locations=("library://a/b:1",)), "singularity"),
        (replace(SIF, locations=("https://perth.example/x.sif",)), "apptainer"),
        (replace(SIF, locations=("docker://registry.example.org/a:1",)), "podman"),
    ],
)
def test_what_a_site_can_run_is_not_refused(executable: Executable, runtime: str) -> None:
    assert not check_image("perth", executable, {**DEFAULTS, "runtime": runtime})

"""How sites start their containers, as options of `podman run`, and a podman that has them as its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.platforms.podman_cli import command

_UNMASK = ("--security-opt", "unmask=ALL")
# in place of PROFILE stands the path of `seccomp_without_unshare`
PROFILE = "PROFILE"
CONFIGURATIONS: Mapping[str, Sequence[str]] = {
    # as podman starts a container where nobody says otherwise
    "default": (),
    # a pod of Kubernetes and of Skaha: some user, no capabilities
    "kubernetes": ("--user", "20021", "--cap-drop", "ALL"),
    # /proc and /sys without masks, as of Kubernetes' procMount: Unmasked
    "unmask": _UNMASK,
    "capabilities": (*_UNMASK, "--cap-add", "SYS_ADMIN,MKNOD,NET_ADMIN"),
    # a profile without unshare and mount, as Docker's was for long
    "no-unshare": ("--security-opt", f"seccomp={PROFILE}"),
}
CLONE_NEWUSER = 0x10000000
ENOSYS = 38


def seccomp_without_unshare() -> str:
    """A seccomp profile by which the kernel seems to have no new namespaces, and no mounts."""
    clone = {"index": 0, "value": CLONE_NEWUSER, "valueTwo": CLONE_NEWUSER, "op": "SCMP_CMP_MASKED_EQ"}
    refused = {"action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}
    calls = [
        {"names": ["unshare", "mount", "clone3"], **refused},
        {"names": ["clone"], "args": [clone], **refused},
    ]
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls})


@contextmanager
def configured(options: Sequence[str], directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While it lasts, `podman run` has these options besides: a podman of its own stands before the real."""
    real = shutil.which("podman")
    assert real is not None
    directory.mkdir()
    profile = directory / "seccomp.json"
    profile.write_text(seccomp_without_unshare())
    words = shlex.join(each.replace(PROFILE, str(profile)) for each in options)
    script = directory / "podman"
    script.write_text(
        f"""#!/bin/sh
for word; do
    shift
    set -- "$@" "$word"
    [ "$word" != run ] || set -- "$@" {words}
done
exec {real} "$@"
"""
    )
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
        yield


@contextmanager
def engine_socket(directory: Path) -> Iterator[Path]:
    """The socket of podman's service on this machine, while it lasts."""
    path = directory / "podman.sock"
    service = subprocess.Popen(
        command("system", "service", "--time", "0", f"unix://{path}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60.0
        while not path.exists():
            assert service.poll() is None, "podman's service ended at once"
            assert time.monotonic() < deadline, "podman's service doesn't listen"
            time.sleep(0.02)
        yield path
    finally:
        service.terminate()
        service.wait(60)


def with_socket(path: Path) -> Sequence[str]:
    """The options by which a container gets an engine's socket."""
    return ("--volume", f"{path}:/run/podman/podman.sock")

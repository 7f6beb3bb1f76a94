"""A server of the test cloud, run for real: its user data as a process of this machine, with a console of its
own. The cloud's hypervisor is Nova's fake one, which runs nothing."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from broker.platforms.openstack_nova import SESSION
from broker.platforms.openstack_user_data import ROOT
from broker.platforms.places import job_directory
from broker.platforms.podman_run import container_name
from tests.cloud.cloud import Cloud

# a mount namespace, in which the console is a file
_BOOT = 'mount --bind "$1" /dev/console && cd / && exec "$2"'


def place_of(cloud: Cloud, server_id: str) -> Path:
    """Where the hypervisor keeps a server: its `user-data`, and its `console`."""
    [found] = (cloud.directory / "state" / "nova").glob(f"*/servers/{server_id}")
    return found


def script_of(user_data: str) -> str:
    """As cloud-init unpacks it."""
    return gzip.decompress(base64.b64decode(user_data)).decode()


@contextlib.contextmanager
def booted(user_data: str, console: Path, job_id: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run what a server of `job_id` would; nothing of it is left afterwards."""
    script = directory / f"user-data-{job_id}"
    script.write_text(script_of(user_data))
    script.chmod(0o700)
    console.write_text("[    0.000000] Linux version 6.1.0\n[    1.234567] systemd[1]: Hello.\n")
    own = directory / f"tmp-{job_id}"
    own.mkdir()
    command = ["unshare", "--mount", "sh", "-c", _BOOT, "boot", str(console), str(script)]
    keep = _keep_root(job_id)
    process = subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(own)}, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        subprocess.run(
            ["podman", "rm", "--force", "--ignore", "--time", "0", container_name(job_id)],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        shutil.rmtree(job_directory(ROOT, job_id), ignore_errors=True)
        keep.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            ROOT.rmdir()


def _keep_root(job_id: str) -> Path:
    """A file because of which no other server's end removes the directory that all on this machine share."""
    keep = ROOT / f".{job_id}"
    while True:
        ROOT.mkdir(parents=True, exist_ok=True)
        try:
            keep.touch()
        except FileNotFoundError:
            continue  # the last of them has just removed it
        return keep


@contextlib.contextmanager
def hypervisor(cloud: Cloud, directory: Path) -> Iterator[None]:
    """Boot whatever servers the cloud gets, until they are deleted."""
    over = threading.Event()
    thread = threading.Thread(target=_boot_all, args=(cloud, directory, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _boot_all(cloud: Cloud, directory: Path, over: threading.Event) -> None:
    member, guests = cloud.connect("member"), dict[str, ExitStack]()
    try:
        while not over.wait(0.3):
            there = {each.id: each for each in member.compute.servers() if each.status == "ACTIVE"}
            for server_id in guests.keys() - there.keys():
                guests.pop(server_id).close()
            for server_id in there.keys() - guests.keys():
                place, own = place_of(cloud, server_id), directory / server_id
                own.mkdir(parents=True)
                guest = guests[server_id] = ExitStack()
                data = (place / "user-data").read_text()
                guest.enter_context(booted(data, place / "console", there[server_id].metadata[SESSION], own))
    finally:
        for guest in guests.values():
            guest.close()
        member.close()

"""The demo's container image, made from nothing on the spot: one static busybox, no registry, no network."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from broker.platforms.podman_cli import COMMAND_SECONDS, command, unshared, usable, words
from federation.errors import OutsideError

IMAGE = "localhost/fairlead-checksum:1"
# the SHA-256 of every file under /data, as `sha256sum` prints it
COMMAND = ("sh", "-c", "cd /data && find . -type f -print0 | sort -z | xargs -0 -r sha256sum")
# what busybox calls itself in the image: what COMMAND needs, and a little to look around with
APPLETS = ("cat", "find", "ls", "sha256sum", "sh", "sleep", "sort", "xargs")


def build_checksum_image(name: str = IMAGE) -> str:
    """Put the image into podman's store as `name`, unless it is there, and return the name. Half a second.

    Raises OutsideError in one line where podman can't run containers, or there is no static busybox.
    """
    reason = usable()
    if reason is not None:
        raise OutsideError(reason)
    if has_checksum_image(name):
        return name
    root = checksum_root(find_busybox())
    changes = [f"CMD {json.dumps(COMMAND)}", "ENV PATH=/bin", "WORKDIR /data", "LABEL fairlead.demo=checksum"]
    flags = [part for change in changes for part in ("--change", change)]
    _podman(["import", "--quiet", *flags, "-", name], root)
    return name


def borrow_checksum_image(stack: ExitStack, name: str = IMAGE) -> str:
    """The image, as by `build_checksum_image`; `stack` removes it unless it was there, or others borrow it.

    Raises OutsideError.
    """
    # the lock is on podman's own directory: whoever sees the same images meets there, and no file is left
    directory = _podman(["info", "--format", "{{.Store.GraphRoot}}"])
    try:
        store = os.open(directory, os.O_RDONLY)
    except OSError as problem:
        raise OutsideError(f"{directory}, podman's own directory: {problem.strerror}") from problem
    stack.callback(os.close, store)
    # not while one who was the last removes it
    fcntl.flock(store, fcntl.LOCK_SH)
    if not has_checksum_image(name):
        stack.callback(_give_back, store, name)
    return build_checksum_image(name)


def _give_back(store: int, name: str) -> None:
    try:
        fcntl.flock(store, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    remove_checksum_image(name)


def has_checksum_image(name: str = IMAGE) -> bool:
    return _run(["image", "exists", name]).returncode == 0


def remove_checksum_image(name: str = IMAGE) -> bool:
    """Remove the image. Whether it is gone: one that a container still uses stays."""
    if shutil.which("podman") is None or not has_checksum_image(name):
        return True
    return _run(["image", "rm", name]).returncode == 0


def find_busybox() -> Path:
    """A busybox that needs no libraries. Raises OutsideError where this machine has none."""
    found = shutil.which("busybox", path="/bin:/usr/bin:/sbin:/usr/sbin:/usr/local/bin")
    if found is None:
        raise OutsideError("the demo's image needs busybox: install busybox-static")
    path = Path(found)
    # a dynamic program names its loader, ld-linux or ld-musl, in its first page
    if b"/ld-" in path.read_bytes()[:4096]:
        raise OutsideError(
            f"the demo's image needs a static busybox, and {path} isn't: install busybox-static"
        )
    return path


def checksum_root(busybox: Path) -> bytes:
    """The image's root directory as a tar archive; of other bytes each time (`podman_cli.unshared`)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", pax_headers=unshared()) as archive:
        for directory in ("bin", "data", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            archive.addfile(entry)
        program = busybox.read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return stream.getvalue()


def _podman(arguments: Sequence[str], stdin: bytes = b"") -> str:
    done = _run(arguments, stdin)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise OutsideError(f"podman {arguments[0]}: {words(said[-1]) if said else done.returncode}")
    return done.stdout.decode().strip()


def _run(arguments: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command(*arguments), input=stdin, capture_output=True, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired as problem:
        raise OutsideError(f"podman {arguments[0]}: not done within {COMMAND_SECONDS:g} s") from problem
    except OSError as problem:
        raise OutsideError(f"podman can't be run: {problem.strerror}") from problem

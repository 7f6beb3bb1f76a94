"""What podman on the site's host has and may have: the images in its store, its logins, its mirrors.

Of a host over SSH they are read there, by podman and `tar`. Registries are then asked from here: asking from
there would take more than a shell. Logins stay in memory, and go where podman there would send them.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
import threading
import time
import weakref
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import IO

from broker.images import Access, Wanted
from broker.images.access import site_access
from broker.images.registries import Registries, Registry, read_registries
from broker.model import Executable
from broker.platforms.podman_cli import command
from broker.platforms.podman_images import as_wanted
from broker.platforms.podman_options import podman_access
from broker.platforms.podman_store import Images
from federation.errors import InputError
from federation.hosts import LocalHost, SshHost
from federation.sites import Federation, Site

# where podman looks for logins and registries by itself
PODMAN_S_OWN = {"auth_file": None, "registries_file": None}
# what was read there, or that it couldn't be, counts for so long
KNOWN_SECONDS = 60.0
# of one command there: an offer waits for it
THERE_SECONDS = 6.0
# the first file of logins that is there, and all that names registries, in podman's order, as one archive
_FILES = """
for file in "$REGISTRY_AUTH_FILE" "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/containers/auth.json" \
    "/run/containers/$(id -u)/auth.json" "$HOME/.config/containers/auth.json" "$HOME/.docker/config.json"; do
  if [ -f "$file" ]; then set -- "$file"; break; fi
done
conf=$HOME/.config/containers/registries.conf
[ -f "$conf" ] || conf=/etc/containers/registries.conf
for file in "$conf" "$conf".d/*.conf; do
  if [ -f "$file" ]; then set -- "$@" "$file"; fi
done
[ $# -eq 0 ] || tar -chf - -- "$@" 2>/dev/null
"""


class SiteRegistries:
    """Answers `PullsImages` for the site. Blocks; from any thread."""

    def __init__(self, federation: Federation, site: Site, engine: Sequence[str], runtime: str) -> None:
        """Raises InputError where this machine's own files can't be read."""
        self._federation, self._site = federation, site
        # any other command may be somebody else's podman, whose logins are not to be found
        known = runtime == "podman" and PurePath(engine[0]).name == "podman"
        self._store: Images | None = None
        self._local: Access | None = None

        def line(*words: str) -> Sequence[str]:
            return site.host.argv([*engine, *words])

        if known and isinstance(site.host, LocalHost):
            self._store = Images(command if list(engine) == ["podman"] else line)
            self._local = podman_access(federation, site, PODMAN_S_OWN)
        elif known and isinstance(site.host, SshHost):
            # an offer waits for it
            self._store = Images(line, THERE_SECONDS)
        self._lock = threading.Lock()
        self._there: Access | None = None
        self._logins = _Logins()
        self._read_at = -float("inf")

    def wanted(self, executable: Executable) -> tuple[Wanted, Access] | None:
        """See `PullsImages.wanted_image`; of a notebook's container, not of the notebook."""
        if self._store is None:
            return None
        wanted = as_wanted(executable)
        access = None if wanted is None else self._access()
        # without knowing what its logins are, a NO would be a guess
        if wanted is None or access is None or self._store.has(wanted.locations, wanted.digest):
            return None
        return wanted, access

    def layers(self) -> Collection[str]:
        return () if self._store is None else self._store.layers()

    def _access(self) -> Access | None:
        if self._local is not None:
            return self._local
        with self._lock:
            if time.monotonic() - self._read_at >= KNOWN_SECONDS:
                try:
                    self._there = self._read()
                except (OSError, subprocess.SubprocessError, tarfile.TarError, InputError):
                    self._there = None
                self._read_at = time.monotonic()
            return self._there

    def _read(self) -> Access:
        line = self._site.host.argv(["sh", "-c", _FILES])
        done = subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, timeout=THERE_SECONDS, check=True
        )
        tables: dict[str, Registry] = {}
        logins: bytes | None = None
        for name, content in _unpacked(done.stdout):
            if name.endswith(".conf"):
                with tempfile.NamedTemporaryFile(prefix="fairlead-", suffix=".conf") as file:
                    file.write(content)
                    file.flush()
                    tables |= {table.prefix: table for table in read_registries(Path(file.name)).tables}
            else:
                logins = content
        # only the operator of this broker says which private addresses it goes to
        access = site_access(self._federation, self._site, Registries(), self._logins.file(logins))
        return replace(access, registries=Registries(tuple(tables.values())))


def _unpacked(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a tar archive in their order; of none, nothing."""
    if not archive:
        return
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as files:
        for entry in files:
            content = files.extractfile(entry)
            if content is not None:
                yield entry.name, content.read()


class _Logins:
    """Files that lie in memory alone, and end with whoever holds this."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self._files: list[IO[bytes]] = []
        weakref.finalize(self, _close, self._files)

    def file(self, content: bytes | None) -> Path | None:
        """The path of a file with that content, for this process; the same as before where it is the same."""
        if content is None:
            return None
        if content != self._content:
            file = os.fdopen(os.memfd_create("fairlead-logins"), "w+b")
            file.write(content)
            file.flush()
            self._files.append(file)
            self._content = content
            # somebody may still be reading the one before
            _close(self._files[:-2])
            del self._files[:-2]
        return Path(f"/proc/self/fd/{self._files[-1].fileno()}")


def _close(files: Sequence[IO[bytes]]) -> None:
    for file in files:
        file.close()

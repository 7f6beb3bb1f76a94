"""An image of this machine's own programs that make containers: no registry, no network."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.platforms.podman_cli import command, unshared
from fairlead.demo_image import remove_checksum_image

SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("bwrap", "conmon", "crun", "id", "mkdir", "ln", "podman", "readlink", "rm", "runc", "sh", "true")
PROGRAMS += ("unshare", "newuidmap", "newgidmap")
DIRECTORIES = ("etc", "etc/containers", "proc", "sys", "dev", "run", "tmp", "var", "var/tmp")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}',
}


def missing() -> str | None:
    """Which of the programs this machine lacks that the image is made of; None: none."""
    lacking = [name for name in ("bwrap", "crun") if shutil.which(name, path=SEARCH) is None]
    return f"containers in containers need {' and '.join(lacking)} in their image" if lacking else None


@contextmanager
def nesting_image(programs: tuple[str, ...] = PROGRAMS) -> Iterator[str]:
    """The name of an image with `programs`, removed at the end."""
    name = f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1"
    change = ["--change", f"ENV PATH={json.dumps('/usr/bin:/bin')}"]
    made = command("import", "--quiet", *change, "-", name)
    subprocess.run(made, input=_root(programs), capture_output=True, timeout=120, check=True)
    yield name
    assert remove_checksum_image(name)


def _root(programs: tuple[str, ...]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", pax_headers=unshared()) as archive:
        for name in (*DIRECTORIES, "usr", "usr/bin"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name.endswith("tmp") else 0o755
            archive.addfile(entry)
        for top in ("bin", "lib", "lib64"):
            entry = tarfile.TarInfo(top)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{top}"
            archive.addfile(entry)
        for path, text in FILES.items():
            _add(archive, path, text.encode(), 0o644)
        libraries: set[Path] = set()
        for program in programs:
            found = shutil.which(program, path=SEARCH)
            if found is not None:
                _add(archive, f"usr/bin/{program}", Path(found).read_bytes(), 0o755)
                libraries |= _libraries(Path(found))
        for library in sorted(libraries):
            # /lib is a link to /usr/lib, here and there
            _add(archive, f"usr/{str(library).removeprefix('/usr').lstrip('/')}", library.read_bytes(), 0o755)
    return stream.getvalue()


def _libraries(program: Path) -> set[Path]:
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=30).stdout
    return {Path(found) for found in re.findall(r"(/\S+) \(0x", said)}


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))

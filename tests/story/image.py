"""A container image with astropy: of the Python that runs the tests, what one program needs of it.

All is under the same paths as here, so that a platform whose containers are processes of this machine runs
the same command without the image.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broker.platforms.podman_cli import unshared
from fairlead.demo_image import remove_checksum_image
from tests.broker.podman_support import podman

# runs a program, and says at the end what of Python, its packages and libraries that has opened
_WATCH = """
import json, runpy, sys
seen = set()
sys.addaudithook(lambda event, args: event == "open" and isinstance(args[0], str) and seen.add(args[0]))
sys.argv = sys.argv[1:]
out, sys.stdout = sys.stdout, sys.stderr
runpy.run_path(sys.argv[0], run_name="__main__")
for module in list(sys.modules.values()):
    seen |= {getattr(module, "__file__", None), getattr(module, "__cached__", None)}
seen |= {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
json.dump(sorted(filter(None, seen)), out)
"""


@contextmanager
def image_for(name: str, program: Path, arguments: Sequence[str], directory: Path) -> Iterator[None]:
    """An image called `name` in which `program` runs, found by running it once here; removed at the end.

    `directory` takes the image's root for a moment.
    """
    archive = directory / "root.tar"
    _write(archive, _opened(program, arguments))
    try:
        podman("import", "--quiet", str(archive), name)
        archive.unlink()
        yield
    finally:
        left = podman("ps", "--all", "--quiet", "--filter", f"ancestor={name}").split()
        if left:
            podman("rm", "--force", "--ignore", "--time", "0", *left)
        assert remove_checksum_image(name)


def _opened(program: Path, arguments: Sequence[str]) -> list[Path]:
    asked = [sys.executable, "-c", _WATCH, str(program), *arguments]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [Path(each) for each in json.loads(done.stdout)]


def _write(archive: Path, opened: Sequence[Path]) -> None:
    packages, standard = (Path(sysconfig.get_path(each)) for each in ("purelib", "stdlib"))
    wanted = [Path(sys.prefix) / "pyvenv.cfg", *_chain(Path(sys.executable))]
    links = []
    for path in opened:
        if packages in path.parents or standard in path.parents:
            wanted.append(path)
        elif ".so" in path.name:
            wanted.append(path)
            links += [(name, path) for name in _also_called(path)]
    with tarfile.open(archive, "w", pax_headers=unshared()) as tar:
        for path in dict.fromkeys(wanted):
            if path.is_file():
                tar.add(path)
        for link, path in links:
            entry = tarfile.TarInfo(str(link).lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, str(path)
            tar.addfile(entry)
        for name in ("tmp", "data", "results"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)


def _chain(program: Path) -> Iterator[Path]:
    """A program, and what it links to."""
    while program.is_symlink():
        yield program
        program = program.parent / program.readlink()
    yield program


def _also_called(library: Path) -> Iterator[Path]:
    """Other names by which programs ask for it: without its last numbers, and the loader's fixed place."""
    name, _, version = library.name.partition(".so.")
    numbers = version.split(".")
    for count in range(1, len(numbers)):
        yield library.with_name(f"{name}.so.{'.'.join(numbers[:count])}")
    if name.startswith("ld-") and (fixed := Path("/lib64") / library.name).exists():
        yield fixed

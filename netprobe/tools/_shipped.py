"""Programs of ours that run at a site, by the standard library alone: how they come there, and are started.

A machine over SSH needs no Fairlead. What is run there is sent with its input, and lies in memory alone.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import io
import sys
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from federation.hosts import Host, SshHost

OURS = ("broker", "federation", "netprobe")
# what the mover is written in; an old Python can read this, so that it can say that it is too old
_RUN = (
    "import sys; sys.version_info >= (3, 10) or "
    "sys.exit('expected Python 3.10 or newer, got ' + sys.version.split()[0]); "
    "import base64, os, runpy; sent = os.fdopen(os.memfd_create('fairlead'), 'wb'); "
    "sent.write(base64.b64decode(sys.stdin.buffer.readline())); sent.flush(); "
    "sys.path.insert(0, '/proc/self/fd/%d' % sent.fileno()); sys.argv = sys.argv[1:]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def started(host: Host, module: str, arguments: Sequence[str], given: str) -> tuple[list[str], str]:
    """The command line that runs `module` on `host`, and its standard input, of which it finds `given`."""
    if isinstance(host, SshHost):
        return host.argv([host.python, "-I", "-c", _RUN, module, *arguments]), f"{_archive(module)}\n{given}"
    return host.argv([sys.executable, "-m", module, *arguments]), given


@cache
def _archive(module: str) -> str:
    """All that `module` imports of ours, as Python's zipimport reads it, in one line of text."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, file in sorted(_imported(module).items()):
            # what a package says of itself isn't needed there
            text = b"" if file.name == "__init__.py" else file.read_bytes()
            path = name.replace(".", "/") + ("/__init__.py" if file.name == "__init__.py" else ".py")
            archive.writestr(zipfile.ZipInfo(path), text, zipfile.ZIP_DEFLATED, 9)
    return base64.b64encode(packed.getvalue()).decode()


def _imported(module: str) -> dict[str, Path]:
    """The files of `module` and of everything of ours that it needs, by name."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = None if name in found else _file_of(name)
        if file is None:
            continue
        found[name] = file
        package = name.rpartition(".")[0]
        waiting += [package] if package else []
        if file.name != "__init__.py":
            waiting += _named(ast.parse(file.read_bytes()))
    return found


def _file_of(name: str) -> Path | None:
    """None where that is no module, but something in one."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _named(tree: ast.Module) -> Iterator[str]:
    """The modules that the imports of a file may mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in OURS)

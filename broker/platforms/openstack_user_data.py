"""The user data of a session's server: one script of Python that holds all that the server needs.

cloud-init, which is written in Python, runs what begins with "#!" once, as root, when the server has booted.
Nova takes 64 KiB, and shows them to the project's members and, on a server, to whoever may ask its metadata
service: so nothing is in there that isn't the session's own.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from broker.images.references import is_local
from broker.model import DataItem, Job
from broker.platforms import PlatformError
from broker.platforms.options import architecture
from broker.platforms.places import job_directory
from broker.platforms.podman_images import as_oci, names_of
from broker.platforms.podman_run import container_name, content_arguments, split_environment
from broker.platforms.staging import OUTSIDE, S3_KIND
from netprobe.addresses import Allowed
from netprobe.cost import Move
from netprobe.mover_file import File

# where everything of a session is on its server
ROOT = Path("/var/lib/fairlead")
# Nova's limit, of what is encoded
LONGEST = 65_535
PACKAGES = ("broker", "broker/platforms", "netprobe")
AGENT = tuple(f"broker/platforms/openstack_{part}.py" for part in ("agent", "lines", "sending"))
PLAN_NAME = "plan.json"
# an old Python can read all of it, so that it can say that it is too old
_SCRIPT = """#!{python}
import base64, json, os, sys, tempfile
if sys.version_info < (3, 10):
    sys.exit("expected Python 3.10 or newer")
_DATA = \"\"\"
{data}
\"\"\"
_place = os.path.join(tempfile.mkdtemp(prefix="fairlead-"), "agent.zip")
with open(_place, "wb") as _file:
    _file.write(base64.b64decode(_DATA))
sys.path.insert(0, _place)
import zipfile
from broker.platforms.openstack_agent import Agent
with zipfile.ZipFile(_place) as _archive:
    _plan = json.loads(_archive.read("{plan}"))
Agent(_plan, _place).run()
"""


@dataclass(frozen=True)
class Data:
    """What is to be brought: files as `netprobe.mover_file.File` has them, checksums that the mover doesn't
    know by path, and storages to be made, of `most_bytes` all together where what is in them is kept."""

    files: tuple[Mapping[str, Any], ...] = ()
    checksums: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    storages: tuple[str, ...] = ()
    most_bytes: int | None = None

    @property
    def by_name(self) -> Mapping[str, str]:
        """The storages by the names of their directories."""
        return {PurePosixPath(path).name: path for path in self.storages}


def file_of(item: DataItem, move: Move, path: Path) -> Mapping[str, Any]:
    """The item, to be brought to `path` by the server's mover."""
    checksum = ":".join(item.checksum) if item.checksum and item.checksum[0] == "sha256" else None
    s3 = item.kind == S3_KIND
    return asdict(File(move.url, str(path), item.size_bytes, checksum, move.source or OUTSIDE, s3))


def plan_of(
    job: Job,
    word: str,
    data: Data,
    allowed: Allowed,
    options: Mapping[str, Any],
    results: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the server is to do (`openstack_agent.Agent`). `results`: where what is in its storages goes, as
    `ResultStore.plan` has it. Raises PlatformError for what can't be said."""
    root = job_directory(ROOT, job.id)
    executable = as_oci(job.executable)
    lines, others = split_environment(executable.environment)
    if others:
        raise PlatformError(
            f"the environment variable {next(iter(others))} has more than one line, or is too long"
        )
    run = ["--network", options["container_network"], *options["engine_run"]]
    run += content_arguments(job, root)
    if PurePosixPath(options["engine"][0]).name == "docker":
        run.remove("--http-proxy=false")
    limited = options["limits"] == "required"
    if limited:
        run += ["--cpus", str(job.cores), "--pids-limit", str(options["processes"])]
    names = [name for location in executable.locations for name in names_of(location, executable.digest)]
    return {
        "word": word,
        "root": str(root),
        "engine": list(options["engine"]),
        "container": container_name(job.id),
        "run": run,
        "memory_bytes": job.memory_gib * 2**30 if limited else None,
        "command": list(executable.command),
        "seconds": job.duration.total_seconds(),
        "names": names,
        "local": [name for name in names if is_local(name)],
        "digest": executable.digest,
        "platform": ["--platform", f"linux/{architecture(executable.architecture)}"],
        "pull_seconds": options["pull_seconds"],
        "environment": "".join(f"{name}={value}\n" for name, value in lines.items()),
        "files": [dict(file) for file in data.files],
        "checksums": {path: list(pair) for path, pair in data.checksums.items()},
        "storages": list(data.storages),
        "results": results,
        "allowed": allowed.document(),
    }


def user_data(plan: Mapping[str, Any], python: str) -> str:
    """As Nova takes it. Raises PlatformError where that is too long for it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in (*_modules(), (PLAN_NAME, json.dumps(plan))):
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED, 9)
    data = base64.encodebytes(packed.getvalue()).decode().rstrip()
    script = _SCRIPT.format(python=python, data=data, plan=PLAN_NAME)
    # cloud-init unpacks it
    encoded = base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()
    if len(encoded) > LONGEST:
        kib = len(encoded) / 1024
        raise PlatformError(
            f"what its server is to do takes {kib:.0f} KiB to say, and Nova takes 64 KiB: expected fewer "
            "files, or a shorter command and environment"
        )
    return encoded


@cache
def _modules() -> Sequence[tuple[str, str]]:
    """What the server needs of Fairlead, by the path in the archive. Packages are empty there."""
    top = Path(__file__).parents[2]
    mover = sorted(path.relative_to(top).as_posix() for path in (top / "netprobe").glob("mover*.py"))
    names = (*AGENT, "netprobe/addresses.py", *mover)
    packages = [(f"{package}/__init__.py", "") for package in PACKAGES]
    return (*packages, *((name, (top / name).read_text(encoding="utf-8")) for name in names))

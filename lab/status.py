"""What of the lab is there, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from federation.errors import FairleadError
from lab import description, network, processes, state
from lab.catalogue import HTTP_PORT, IPERF3_PORT
from lab.description import Lab
from lab.processes import Process
from lab.storage import Made

EMULATOR = "emulator"


@dataclass(frozen=True)
class Status:
    """A running or damaged lab. `problems` says what is missing, a line each: a whole lab has none."""

    name: str
    state_dir: Path
    lab: Lab
    congestion_control: str | None
    problems: tuple[str, ...]
    # service ("emulator", "iperf3-perth", "storage-perth") -> its process, alive or not
    processes: dict[str, Process | None]
    # as in state_dir/files.json: name, size_bytes, sha256, sites, urls
    files: tuple[dict[str, Any], ...]

    @property
    def catalogue(self) -> Path:
        """The federation catalogue of the lab's sites."""
        return self.state_dir / "sites.toml"

    def document(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        running = {name: process.pid if process else None for name, process in self.processes.items()}
        return {
            "name": self.name,
            "up": not self.problems,
            "problems": list(self.problems),
            "state_dir": str(self.state_dir),
            "description": str(self.state_dir / "lab.toml"),
            "catalogue": str(self.catalogue),
            "mtu": self.lab.mtu,
            "congestion_control": self.congestion_control,
            "processes": running,
            "sites": [
                {
                    "id": site.id,
                    "name": site.name,
                    "namespace": site.host(self.name).namespace,
                    "address": site.address,
                    "iperf3_port": IPERF3_PORT,
                    "storage": f"http://{site.address}:{HTTP_PORT}/",
                }
                for site in self.lab.sites.values()
            ],
            "paths": [asdict(path) for path in self.lab.paths],
            "files": list(self.files),
        }


def service(kind: str, site_id: str) -> str:
    """What a site's server is called among the lab's processes."""
    return f"{kind}-{site_id}"


def recorded(name: str) -> Process | None:
    """The process that was last started as `name`, alive or not."""
    return processes.from_document(state.read_json(state.state_dir() / "processes" / f"{name}.json"))


def running_description() -> Lab | None:
    """The lab that was brought up and not taken down, as it is described now; None where there is none.

    Raises InputError when somebody has spoilt the description.
    """
    if not (state.state_dir() / "state.json").exists():
        return None
    return description.load(state.state_dir() / "lab.toml")


def files_document(lab: Lab, made: Sequence[Made]) -> list[dict[str, Any]]:
    """What files.json holds: each file with its size, SHA-256 and the URLs under which the sites serve it."""
    by_name = {one.name: one for one in made}
    return [
        {
            "name": file.name,
            "size_bytes": by_name[file.name].size_bytes,
            "sha256": by_name[file.name].sha256,
            "sites": list(file.sites),
            "urls": [f"http://{lab.sites[site].address}:{HTTP_PORT}/{file.name}" for site in file.sites],
        }
        for file in lab.files
    ]


def status() -> Status | None:
    """The lab as it is now; None when none was brought up. Raises InputError for a spoilt description."""
    lab = running_description()
    if lab is None:
        return None
    problems: list[str] = []
    control = None
    try:
        problems += network.problems(lab, state.name())
        if not problems:
            control = network.congestion_control(network.namespaces(state.name(), lab.sites)[1])
    except FairleadError as error:
        problems.append(str(error))
    names = [EMULATOR, *(service(kind, site) for site in lab.sites for kind in ("iperf3", "storage"))]
    found: dict[str, Process | None] = {}
    for name in names:
        process = recorded(name)
        found[name] = process if process is not None and process.alive() else None
        if found[name] is None:
            problems.append(f"{name} does not run")
    files = state.read_json(state.state_dir() / "files.json")
    if not isinstance(files, list):
        files = []
        problems.append("files.json is missing")
    return Status(
        name=state.name(),
        state_dir=state.state_dir(),
        lab=lab,
        congestion_control=control,
        problems=tuple(problems),
        processes=found,
        files=tuple(files),
    )

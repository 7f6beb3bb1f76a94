"""Bring the lab up, look at it, change its paths, take it down.

`up` may be called any number of times: it makes what is missing. `down` leaves nothing, whatever became of
the lab or of an `up` that was cut short: before anything is made, a note says what is going to be.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from federation.errors import InputError, OutsideError
from federation.hosts import NamespaceHost
from lab import catalogue, description, network, processes, state, storage
from lab.catalogue import HTTP_PORT, IPERF3_PORT
from lab.description import Lab
from lab.network import supported
from lab.processes import Process
from lab.state import state_dir
from lab.status import EMULATOR, Status, files_document, recorded, running_description, service, status

__all__ = ["Status", "down", "host", "reload", "state_dir", "status", "supported", "up"]


def host(site_id: str) -> NamespaceHost:
    """Where the commands of a site (or of the `router`) run. Raises InputError for an unknown site."""
    lab = running_description()
    if lab is None:
        raise InputError("the lab is not up: expected `fairlead lab up` before")
    if site_id not in (*lab.sites, network.ROUTER):
        raise InputError(f"no site {site_id!r} in the lab: expected one of {', '.join(lab.sites)}, router")
    return NamespaceHost(f"{state.name()}-{site_id}")


def up(file: Path | None = None) -> Status:
    """Bring up the lab that `file` describes (the default one: None), or repair the one that is up.

    A running lab keeps its own description unless `file` is given, which may then change all but the sites
    and the MTU. When the first `up` fails or is interrupted, nothing is left of it. Raises InputError,
    OutsideError.
    """
    reason = supported()
    if reason is not None:
        raise OutsideError(reason)
    with state.lock():
        before = running_description()
        lab = before if file is None and before is not None else description.load(file)
        if before is not None and (before.sites.keys(), before.mtu) != (lab.sites.keys(), lab.mtu):
            raise InputError(f"{file}: other sites or MTU than the lab that is up: `fairlead lab down` first")
        try:
            if before is None or file is not None:
                _note(lab, file or description.DEFAULT)
            _raise(lab, reread=before is not None and file is not None)
        except BaseException:
            if before is None:
                _clear()
            raise
        now = status()
        if now is None or now.problems:
            raise OutsideError(f"the lab did not come up whole: {now.problems[0] if now else 'it is gone'}")
        return now


def reload(file: Path | None = None) -> Lab:
    """Let the running lab's paths follow its description (or `file`, which replaces it).

    Packets under way keep the times they were given. Raises InputError, OutsideError.
    """
    with state.lock():
        before = running_description()
        if before is None:
            raise InputError("the lab is not up: expected `fairlead lab up` before")
        own = state_dir() / "lab.toml"
        lab = description.load(file or own)
        noted = state.read_json(state_dir() / "state.json")
        if (list(lab.sites), lab.mtu) != (noted["sites"], noted["mtu"]):
            raise InputError(f"{file or own}: a reload changes paths only: `fairlead lab down` first")
        if file is not None:
            state.write(own, file.read_text(encoding="utf-8"))
        emulator = recorded(EMULATOR)
        if emulator is None or not emulator.alive():
            raise OutsideError("the lab's emulator does not run: `fairlead lab up` repairs it")
        os.kill(emulator.pid, signal.SIGHUP)
        return lab


def down() -> bool:
    """Remove the lab with all its processes and files; false when there was none. Raises OutsideError."""
    with state.lock():
        return _clear()


def _note(lab: Lab, file: Path) -> None:
    """Write down what is going to be made, before it is."""
    folder = state_dir()
    try:
        (folder / "processes").mkdir(parents=True, exist_ok=True)
        state.write(folder / "lab.toml", file.read_text(encoding="utf-8"))
        note = {"sites": list(lab.sites), "mtu": lab.mtu}
        state.write(folder / "state.json", json.dumps(note))
    except OSError as error:
        raise OutsideError(f"{folder}: {error.strerror}") from None


def _raise(lab: Lab, reread: bool) -> None:
    cancelled = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        # files take longest the first time: make them while the network comes up
        making = beside.submit(storage.make_all, lab, cancelled)
        try:
            for site_id in lab.sites:
                storage.data_dir(site_id).mkdir(parents=True, exist_ok=True)
            _network(lab)
            running = _services(lab, reread)
            state.write(state_dir() / "sites.toml", catalogue.catalogue(lab, state.name()))
            made = making.result()
            storage.place(lab, made)
            state.write(state_dir() / "files.json", json.dumps(files_document(lab, made), indent=2))
            for one, process in running.items():
                _wait_ready(one, process)
        except BaseException:
            cancelled.set()
            raise


def _network(lab: Lab) -> None:
    if network.problems(lab, state.name()):
        # what runs in a namespace that lost its name would seem alive
        _end_recorded()
        _clear_network(network.namespaces(state.name(), lab.sites))
        network.build(lab, state.name())


@dataclass(frozen=True)
class _Service:
    """A process that belongs to the lab; the emulator has no port."""

    name: str
    host: NamespaceHost
    command: tuple[str, ...]
    port: int | None = None

    @property
    def log(self) -> Path:
        return state_dir() / "processes" / f"{self.name}.log"


def _wanted(lab: Lab) -> list[_Service]:
    router = NamespaceHost(f"{state.name()}-{network.ROUTER}")
    emulator = (sys.executable, "-m", "lab.emulator", network.DEVICE, str(state_dir() / "lab.toml"))
    wanted = [_Service(EMULATOR, router, emulator)]
    for site in lab.sites.values():
        host = site.host(state.name())
        iperf3 = ("iperf3", "-s", "-B", site.address, "-p", str(IPERF3_PORT))
        root = str(storage.data_dir(site.id))
        web = (sys.executable, "-m", "lab.web", site.address, str(HTTP_PORT), root)
        wanted.append(_Service(service("iperf3", site.id), host, iperf3, IPERF3_PORT))
        wanted.append(_Service(service("storage", site.id), host, web, HTTP_PORT))
    return wanted


def _services(lab: Lab, reread: bool) -> dict[_Service, Process]:
    """All processes of the lab, started where they don't run."""
    wanted = _wanted(lab)
    running = {one: process for one in wanted if (process := recorded(one.name)) and process.alive()}
    missing = [one for one in wanted if one not in running]
    _end_strays(missing, running.values())
    for one in missing:
        process = processes.start(one.host.argv(one.command), one.log, ready_line=one.port is None)
        state.write(one.log.with_suffix(".json"), json.dumps(process.document()))
        running[one] = process
    if reread and wanted[0] not in missing:
        os.kill(running[wanted[0]].pid, signal.SIGHUP)
    return running


def _end_strays(missing: list[_Service], known: Iterable[Process]) -> None:
    """End what a killed `up` had no time to note: it would hold the port, or the device."""
    commands = {one.command for one in missing}
    inside = processes.in_namespaces(network.namespace_file(one.host.namespace) for one in missing)
    strays = [pid for pid in inside - {one.pid for one in known} if processes.command(pid) in commands]
    processes.end([process for pid in strays if (process := processes.identify(pid)) is not None])


def _wait_ready(one: _Service, process: Process) -> None:
    deadline = time.monotonic() + processes.READY_SECONDS
    while one.port is not None and not network.listening(process.pid, one.port):
        if not process.alive() or time.monotonic() > deadline:
            words = processes.last_line(one.log)
            raise OutsideError(f"{one.name} does not listen on port {one.port}: {words}")
        time.sleep(0.01)


def _clear() -> bool:
    """Remove everything. A second Ctrl-C must not leave half a lab, so it has to wait."""
    if threading.current_thread() is not threading.main_thread():
        return _clear_now()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _clear_now()
    finally:
        signal.signal(signal.SIGINT, previous)


def _clear_now() -> bool:
    noted = state.read_json(state_dir() / "state.json")
    site_ids = noted["sites"] if isinstance(noted, dict) else list(description.load().sites)
    names = network.namespaces(state.name(), site_ids)
    there = state_dir().exists() or any(network.namespace_file(name).exists() for name in names)
    _end_recorded()
    _clear_network(names)
    try:
        if state_dir().exists():
            shutil.rmtree(state_dir())
    except OSError as error:
        raise OutsideError(f"{error.filename}: {error.strerror}") from None
    return there


def _end_recorded() -> None:
    notes = (state_dir() / "processes").glob("*.json")
    known = [processes.from_document(state.read_json(note)) for note in notes]
    processes.end([process for process in known if process is not None])


def _clear_network(names: list[str]) -> None:
    """End whatever runs in these namespaces, then remove them: a process would keep its namespace alive."""
    files = [network.namespace_file(name) for name in names]
    pids = processes.in_namespaces(files) - {os.getpid()}
    processes.end([process for pid in pids if (process := processes.identify(pid)) is not None])
    network.remove(names)

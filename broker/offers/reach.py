"""Which servers each site may fetch from, by the addresses that they have there.

The rules are the mover's own (`netprobe.addresses`), so that what is offered is what will be moved. Names are
looked up where the mover will look them up: they may mean something else there than here. What can't be
looked up in a moment is left to the mover.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from urllib.parse import urlsplit

from broker.catalogues.urls import allowed_at
from broker.model import Replica
from federation.hosts import Host, LocalHost
from federation.sites import Federation, Site
from federation.urls import server_of
from netprobe.addresses import Allowed, ForbiddenError, UnknownHostError, targets
from netprobe.tools import _process

log = logging.getLogger(__name__)

# The addresses of names by name, as they are at a host; of names that have none, nothing. May block.
LookUp = Callable[[Host, Sequence[str]], Mapping[str, Sequence[str]]]
Server = tuple[str, int]
# a request is answered in seconds: what isn't found by then isn't waited for
LOOK_UP_SECONDS = 3.0
# as long as a name server would let most names be kept
KEPT_SECONDS = 60.0
AT_ONCE = 16
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_ASK = 'for name; do echo "name $name"; getent ahosts "$name"; done'


def look_up(host: Host, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What the resolver of a host says."""
    if isinstance(host, LocalHost):
        return {name: here for name in names if (here := _here(name))}
    command = host.argv(["sh", "-c", _ASK, "fairlead", *names])
    said = asyncio.run(_process.run(command, LOOK_UP_SECONDS)).stdout
    found: dict[str, list[str]] = {}
    at: list[str] = []
    for word, *rest in (line.split() for line in said.splitlines() if line.strip()):
        if word == "name":
            at = found.setdefault(" ".join(rest), [])
        else:
            at.append(word)
    return {name: list(dict.fromkeys(some)) for name, some in found.items() if some}


def _here(name: str) -> list[str]:
    try:
        entries = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return []
    return [str(entry[4][0]) for entry in entries]


class Reach:
    """May be asked from several threads at once."""

    def __init__(
        self,
        federation: Federation,
        look_up: LookUp | None = look_up,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`look_up` None: names are not looked up, and any may be fetched from. `now`: seconds."""
        self._federation, self._look_up, self._now = federation, look_up, now
        self._lock = threading.Lock()
        self._allowed: dict[str, Allowed] = {}
        # until when each is known, and the addresses; none: nobody knew
        self._known: dict[tuple[Host, str], tuple[float, tuple[str, ...]]] = {}

    def learn(self, sites: Iterable[Site], replicas: Iterable[Replica]) -> None:
        """Look up the servers of `replicas` as each of the sites sees them, where that isn't known. Blocks
        for LOOK_UP_SECONDS at most."""
        if self._look_up is None:
            return
        names = {server[0] for one in replicas if (server := _server(one.url)) and not _numbers(*server)}
        names = {name for name in names if _NAME.fullmatch(name)}
        now = self._now()
        with self._lock:
            self._known = {key: known for key, known in self._known.items() if known[0] > now}
            wanted = {
                site.host: [one for one in names if (site.host, one) not in self._known] for site in sites
            }
        tasks = [
            (host, some)
            for host, missing in wanted.items()
            # one command for all of them elsewhere; here they are looked up beside each other
            for some in (([one] for one in missing) if isinstance(host, LocalHost) else [missing])
            if some
        ]
        if tasks:
            self._ask(tasks)

    def wrong_with(self, site: Site, replica: Replica) -> str | None:
        """Why the site may not fetch from there, in words to follow a colon; None where it may, or nobody
        knows. Quick: `learn` has looked it up."""
        server = _server(replica.url)
        if server is None:
            return None
        host, port = server
        addresses = _numbers(host, port)
        if not addresses:
            with self._lock:
                _, addresses = self._known.get((site.host, host), (0.0, ()))

        def resolved(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(None, None, None, None, (one, port)) for one in addresses]

        try:
            targets(host, port, self._allowed_at(site), resolved)
        except ForbiddenError as problem:
            return str(problem)
        except UnknownHostError:
            return None
        return None

    def _allowed_at(self, site: Site) -> Allowed:
        with self._lock:
            if site.id not in self._allowed:
                self._allowed[site.id] = allowed_at(self._federation, site)
            return self._allowed[site.id]

    def _ask(self, tasks: Sequence[tuple[Host, Sequence[str]]]) -> None:
        assert self._look_up is not None
        pool = ThreadPoolExecutor(min(AT_ONCE, len(tasks)), "look-up")
        asked = {pool.submit(self._look_up, *task): task for task in tasks}
        wait(asked, LOOK_UP_SECONDS)
        # a resolver may take much longer to give up
        pool.shutdown(wait=False, cancel_futures=True)
        for future, task in asked.items():
            if future.cancelled():
                continue  # nobody was asked: the next one will be
            if not future.done():
                # who asks meanwhile needn't wait as long; what is heard late is known from then on
                self._keep(*task, {})
            future.add_done_callback(partial(self._heard, task))

    def _heard(self, task: tuple[Host, Sequence[str]], future: Future[Mapping[str, Sequence[str]]]) -> None:
        said: Mapping[str, Sequence[str]] = {}
        if (problem := future.exception()) is not None:
            log.warning("%s can't be looked up: %s", ", ".join(task[1]), problem)
        else:
            said = future.result()
        self._keep(*task, said)

    def _keep(self, host: Host, names: Sequence[str], said: Mapping[str, Sequence[str]]) -> None:
        until = self._now() + KEPT_SECONDS
        with self._lock:
            self._known |= {(host, name): (until, tuple(said.get(name, ()))) for name in names}


def _server(url: str) -> Server | None:
    """Host and port, in small letters; None where it is no http or https URL."""
    server = server_of(url)
    if server is None:
        return None
    parts = urlsplit(server)
    return (parts.hostname or "").lower(), parts.port or 0


def _numbers(host: str, port: int) -> Sequence[str]:
    """The addresses of a host that is one itself, however it is written; of a name none."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return ()
    return [str(entry[4][0]) for entry in entries]

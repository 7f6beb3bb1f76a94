"""Another ExecutionBroker as a site's platform: its offers are passed on, its sessions followed.

What is free there is for that broker to say; we add what we have measured: the time to bring the data there.
It moves the data, runs the container and ends the session itself. What goes wrong there is told as its own.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from broker.contract.times import format_instant
from broker.model import Connector, DataItem, Executable, Job, Note, Phase, Request
from broker.phases import ENDED
from broker.platforms import (
    PlatformError,
    Progress,
    ReadyOffer,
    SeenThere,
    Staged,
    Status,
    StoredFile,
)
from broker.platforms.broker_answers import read_offers, read_session
from broker.platforms.broker_client import RemoteBroker
from broker.platforms.options import read_options
from federation.about import About
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation, Site
from federation.urls import is_secure
from netprobe.cost import Move

T = TypeVar("T")
DEFAULTS = {
    "url": None,  # of the other broker; required
    "user": None,  # with password_file: HTTP Basic authentication
    "password_file": None,
    "token_file": None,  # a bearer token instead; read again for each request
    "request_seconds": 8.0,  # how long an answer may be waited for
    "image_seconds": 0.0,  # P90 of what that broker does not count in its own start
}
# sessions that are asked for at the same time
THREADS = 8
# limits on these are for us to keep: that broker doesn't know our figures
OURS = "urn:fairlead:"


class ExecutionBrokerPlatform:
    """See the module. Options (catalogue, [sites.<id>.platform.options]): the names in DEFAULTS."""

    ABOUT = About(
        does="Hands requests on to another ExecutionBroker, and ranks its offers with the others.",
        cannot="Results that a container wrote stay at that broker.",
    )

    def __init__(self, site: Site, federation: Federation, clock: Clock, work_directory: Path) -> None:
        options = read_options(site, DEFAULTS)
        self._site, self._clock, self._image_seconds = site, clock, float(options["image_seconds"])
        url = options["url"] or ""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise InputError(f"site {site.id!r}: option 'url': expected the URL of a broker, got {url!r}")
        if "@" in urlsplit(url).netloc:
            expected = "expected a URL without user and password, which have options of their own"
            raise InputError(f"site {site.id!r}: option 'url': {expected}")
        credentials = _credentials(site, options)
        if (options["token_file"] or options["user"]) and not is_secure(url):
            expected = (
                "expected https, for who we are is told there (http:// is for a broker on this machine)"
            )
            raise InputError(f"site {site.id!r}: option 'url': {expected}, got {url!r}")
        self._remote = RemoteBroker(url, credentials, float(options["request_seconds"]))
        self._threads = ThreadPoolExecutor(THREADS, f"broker-{site.id}")

    def check(self, executable: Executable) -> Sequence[Note]:
        return ()  # it is asked for offers, and gives its reasons itself

    def image_seconds(self, executable: Executable) -> float:
        return self._image_seconds

    def offers(
        self, request: Request, document: Any, earliest: datetime, latest: datetime
    ) -> Sequence[ReadyOffer | Note]:
        asked = dict(document) if isinstance(document, Mapping) else {}
        duration = _requested(asked).get("duration")
        start = f"{format_instant(earliest)}/{format_instant(latest)}"
        asked["schedule"] = {"requested": {"start": start, **({"duration": duration} if duration else {})}}
        for limits in ("costs", "metrics"):
            asked[limits] = [item for item in asked.get(limits) or () if not _is_ours(item)]
        asked = {name: value for name, value in asked.items() if value not in (None, [], {})}
        return read_offers(self._remote.ask(asked), self._clock.now())

    async def accept(self, reference: str) -> None:
        # repeated, it is harmless there as here
        answer = await self._in_thread(partial(self._remote.move, reference, Phase.ACCEPTED.value))
        if answer.get("phase") in (Phase.OFFERED, Phase.REJECTED, Phase.EXPIRED):
            raise PlatformError(f"its broker left the offer {answer.get('phase')} when it was accepted")

    async def look(self, reference: str) -> SeenThere:
        session = await self._in_thread(partial(self._remote.session, reference))
        seen = read_session(session, None)
        if seen.phase in (Phase.RUNNING, Phase.RELEASING, *ENDED):
            seen = read_session(session, await self._in_thread(partial(self._remote.logs, reference)))
        return seen

    async def give_up(self, reference: str) -> None:
        seen = read_session(await self._in_thread(partial(self._remote.session, reference)), None)
        if seen.phase in ENDED or seen.phase is Phase.RELEASING:
            return
        wanted = Phase.REJECTED if seen.phase is Phase.OFFERED else Phase.CANCELLED
        await self._in_thread(partial(self._remote.move, reference, wanted.value))

    async def stage(self, job_id: str, wanted: Sequence[tuple[DataItem, Move]], progress: Progress) -> Staged:
        raise self._does_itself()

    async def make_storage(self, job_id: str, name: str) -> Path:
        raise self._does_itself()

    async def prepare(self, job: Job) -> None:
        raise self._does_itself()

    async def start(self, job: Job) -> Sequence[Connector]:
        raise self._does_itself()

    async def poll(self, job: Job) -> Status:
        raise self._does_itself()

    async def stop(self, job: Job) -> None:
        raise self._does_itself()

    async def release(self, job_id: str, keep: Collection[str] = ()) -> None:
        """Nothing of a job is kept on our side."""

    async def list_files(self, job_id: str, name: str) -> Sequence[StoredFile]:
        return ()

    async def open_file(self, job_id: str, name: str, path: str) -> FileIO | None:
        return None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _does_itself(self) -> PlatformError:
        return PlatformError(f"site {self._site.id}: its broker does this itself, and can't be told to")


def _credentials(site: Site, options: Mapping[str, Any]) -> Callable[[], str | None]:
    """What signs a request, read when it is needed. Raises InputError for options that don't go together."""
    token_file, user, password_file = (options[name] for name in ("token_file", "user", "password_file"))
    if token_file and user:
        raise InputError(f"site {site.id!r}: expected either 'user' or 'token_file', got both")
    if bool(user) != bool(password_file):
        raise InputError(f"site {site.id!r}: expected 'user' and 'password_file' together, got one of them")
    secret = token_file or password_file
    if secret is None:
        return lambda: None

    def read() -> str:
        try:
            text = Path(secret).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PlatformError(f"site {site.id}: the credentials for its broker can't be read") from error
        if token_file:
            return f"Bearer {text}"
        return "Basic " + base64.b64encode(f"{user}:{text}".encode()).decode()

    return read


def _requested(document: Mapping[str, Any]) -> Mapping[str, Any]:
    schedule = document.get("schedule")
    requested = schedule.get("requested") if isinstance(schedule, Mapping) else None
    return requested if isinstance(requested, Mapping) else {}


def _is_ours(item: Any) -> bool:
    return isinstance(item, Mapping) and str(item.get("type")).startswith(OURS)

"""A pScheduler node: the runs of its own tasks. It forgets them after two days: its archive has the rest."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from federation.about import About
from federation.errors import OutsideError
from federation.sites import Federation
from netprobe.meshes import Access, Found, Page, Refusal
from netprobe.meshes.fetching import Fetcher
from netprobe.meshes.records import NO_TASK, UNFINISHED, read_run
from netprobe.meshes.values import instant, mapping, text

# what a node keeps by default (keep_runs_tasks); asking for more gives no more
KEPT = timedelta(days=2)
# purged between the list and the question
GONE = "gone from the node"


class PScheduler:
    """`Mesh` of kind "pscheduler": https://HOST/ or https://HOST/pscheduler. A page is the runs of a task."""

    ABOUT = About(
        does="Reads what a pScheduler node has run itself.",
        cannot="The node forgets its runs after two days.",
    )

    kind = "pscheduler"

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sleep, self._now = sleep, now

    def pages(self, access: Access, since: datetime, federation: Federation | None) -> Iterator[Page]:
        base = access.url.rstrip("/")
        if not urlsplit(base).path:
            base += "/pscheduler"
        begun = self._now()
        since = max(since, begun - KEPT)
        window = {"start": since.isoformat(), "end": begun.isoformat()}
        through = begun
        with Fetcher(access, self._sleep) as fetcher:
            # with the details, else every task would have to be asked for by itself
            tasks = _list(f"{base}/tasks", fetcher.json(f"{base}/tasks", {"expanded": "", "detail": ""}))
            for number, task in enumerate(tasks, 1):
                name = _uuid(mapping(task).get("href"))
                name = name or _uuid(mapping(task, "detail").get("href"))
                if name is None:
                    yield Page((Refusal(NO_TASK, "a task without an address"),), share=number / len(tasks))
                    continue
                found: list[Found] = []
                for run_name, run in _runs(fetcher, f"{base}/tasks/{name}/runs", window):
                    if run is None:
                        found.append(Refusal(GONE, f"run {run_name}"))
                        continue
                    # the address has the id even where the document has none
                    one = read_run({**mapping(run), "id": run_name}, task, access.archive, federation)
                    found.append(one)
                    if isinstance(one, Refusal) and one.reason == UNFINISHED:
                        # the next pull must meet it again
                        through = min(through, instant(mapping(run).get("start-time")) or since)
                yield Page(tuple(found), share=number / len(tasks))
            # only now is it known that no task was left out
            yield Page((), through=through, share=1.0)


def _runs(fetcher: Fetcher, url: str, window: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """The runs of one task by their names, None for one that has gone meanwhile.

    The addresses are made here: those in the list have the node's own name, which may be unknown to us.
    """
    runs = fetcher.json(url, window, missing=True)
    if runs is None:
        yield f"list {url}", None
        return
    for run in _list(url, runs):
        name = _uuid(run)
        if name is None:
            yield str(run)[:80], None
        else:
            yield name, fetcher.json(f"{url}/{name}", missing=True)


def _list(url: str, document: Any) -> list[Any]:
    if not isinstance(document, list):
        raise OutsideError(f"{url}: expected a list, got JSON of another shape")
    return document


def _uuid(address: Any) -> str | None:
    """The uuid at the end of the address of a task or a run."""
    try:
        return str(uuid.UUID(urlsplit(text(address) or "").path.rstrip("/").rpartition("/")[2]))
    except ValueError:
        return None

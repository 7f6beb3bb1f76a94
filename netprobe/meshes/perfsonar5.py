"""A perfSONAR 5 archive: OpenSearch, read with `search_after` in the order of the tests' times.

Anonymous readers may only search, which is why nothing else is asked of it: no scroll, no point in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from federation.about import About
from federation.errors import OutsideError
from federation.sites import Federation
from netprobe.meshes import Access, Page
from netprobe.meshes.fetching import Fetcher
from netprobe.meshes.perfsonar5_documents import LARGE, read_document
from netprobe.meshes.values import count, instant, items, mapping

PAGE = 1000
_START = "pscheduler.start_time"
_INGESTED = "@timestamp"
# Runs may start in the same second, and documents may lack what they should have: the run's id and the time
# of arrival make the order a whole one, so that no page boundary loses any of them.
_ORDER = (
    {_START: {"order": "asc", "unmapped_type": "date"}},
    {"pscheduler.run_id.keyword": {"order": "asc", "unmapped_type": "keyword"}},
    {_INGESTED: {"order": "asc", "unmapped_type": "date"}},
)


class PerfSonar5:
    """`Mesh` of kind "perfsonar5": https://HOST/ or https://HOST/opensearch."""

    ABOUT = About(
        does="Reads perfSONAR 5 archives (OpenSearch).",
        cannot="Needs an archive whose reading is open, or a reader's password.",
    )

    kind = "perfsonar5"

    def __init__(self, page_size: int = PAGE, sleep: Callable[[float], None] = time.sleep) -> None:
        self._page_size, self._sleep = page_size, sleep

    def pages(self, access: Access, since: datetime, federation: Federation | None) -> Iterator[Page]:
        base = access.url.rstrip("/")
        if not urlsplit(base).path:
            base += "/opensearch"
        url = f"{base}/pscheduler*/_search"
        after: list[Any] | None = None
        read = 0
        with Fetcher(access, self._sleep) as fetcher:
            while True:
                query = _query(since, self._page_size, after)
                answer = fetcher.json(url, body=query)
                hits = _hits(url, answer)
                read += len(hits)
                yield Page(
                    tuple(read_document(mapping(hit, "_source"), access.archive, federation) for hit in hits),
                    through=_last_start(hits),
                    share=_share(answer, read),
                )
                if len(hits) < self._page_size:
                    return
                following = _sort_values(url, hits[-1])
                if following == after:
                    raise OutsideError(f"{url}: gives the same page again and again")
                after = following


def _query(since: datetime, size: int, after: list[Any] | None) -> dict[str, Any]:
    begun = {"range": {_START: {"gte": since.isoformat()}}}
    arrived = {"range": {_INGESTED: {"gte": since.isoformat()}}}
    # one without a time of its own is found by when it arrived, so that it can be refused by name
    timeless = {"bool": {"must_not": [{"exists": {"field": _START}}], "filter": [arrived]}}
    query: dict[str, Any] = {
        "size": size,
        "track_total_hits": True,
        "query": {"bool": {"should": [begun, timeless], "minimum_should_match": 1}},
        "sort": list(_ORDER),
        "_source": {"excludes": list(LARGE)},
    }
    if after is not None:
        query["search_after"] = after
    return query


def _hits(url: str, answer: Any) -> list[Any]:
    """The hits of a whole answer. Raises OutsideError where it is something else, or not all of it."""
    hits = mapping(answer, "hits").get("hits")
    if not isinstance(hits, list):
        raise OutsideError(f"{url}: expected the hits of a search, got JSON of another shape")
    shards = mapping(answer, "_shards")
    if mapping(answer).get("timed_out") is True or count(shards.get("failed")):
        raise OutsideError(f"{url}: the archive searched only part of its data (time-out or failed shards)")
    return hits


def _sort_values(url: str, hit: Any) -> list[Any]:
    values = list(items(mapping(hit).get("sort")))
    if len(values) != len(_ORDER):
        raise OutsideError(f"{url}: expected the sort values of every hit, got {str(values)[:80]}")
    return values


def _last_start(hits: list[Any]) -> datetime | None:
    """Of the last hit that tells: everything before it is on this page, or an earlier one."""
    starts = (instant(mapping(hit, "_source", "pscheduler").get("start_time")) for hit in reversed(hits))
    return next((start for start in starts if start is not None), None)


def _share(answer: Any, read: int) -> float | None:
    total = count(mapping(answer, "hits", "total").get("value"))
    return min(1.0, read / total) if total else None

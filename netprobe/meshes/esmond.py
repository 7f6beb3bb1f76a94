"""A perfSONAR 4 archive (esmond), or the same interface on version 5 (elmond): series by time and by test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from federation.about import About
from federation.clock import Clock, SystemClock
from federation.errors import OutsideError
from federation.sites import Federation
from netprobe.meshes import Access, Found, Page, Refusal
from netprobe.meshes.esmond_documents import MAIN, Metadata, Summary, read_metadata, read_points
from netprobe.meshes.fetching import Fetcher
from netprobe.meshes.values import mapping, number

PATH = "/esmond/perfsonar/archive"
METADATA_PAGE = 1000
# what elmond gives at most; more are asked for in two halves of the time
POINTS = 10_000
# seconds since 1970: the end of the year 9999, after which there are no instants
_NEVER = 253_402_300_800
# one result a minute for this long is less than that
SLICE = timedelta(days=6)


class Esmond:
    """`Mesh` of kind "esmond": https://HOST/ or https://HOST/esmond/perfsonar/archive/.

    Reading goes through time in slices, and in each through all tests, so that what has been read is whole up
    to a time. Of a test whose single results are gone the finest summary is read, and the row says so.
    """

    ABOUT = About(
        does="Reads perfSONAR 4 archives (esmond), and elmond of version 5.",
        cannot="Has summaries alone of tests whose single results are gone.",
    )

    kind = "esmond"

    def __init__(
        self,
        points: int = POINTS,
        metadata_page: int = METADATA_PAGE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Clock | None = None,
    ) -> None:
        self._points, self._metadata_page, self._sleep = points, metadata_page, sleep
        self._clock = clock or SystemClock()

    def pages(self, access: Access, since: datetime, federation: Federation | None) -> Iterator[Page]:
        base = access.url.rstrip("/")
        if not urlsplit(base).path:
            base += PATH
        now = self._clock.now()
        with Fetcher(access, self._sleep) as fetcher:
            tests, refusals = self._tests(fetcher, base, since)
            yield Page(tuple(refusals))
            start, span = since, (now - since).total_seconds()
            while start < now:
                end = min(start + SLICE, now)
                for number_, tested in enumerate(tests, 1):
                    found = tuple(self._of_test(fetcher, base, tested, (start, end), access, federation))
                    done = (start - since + (end - start) * number_ / len(tests)).total_seconds()
                    yield Page(found, share=min(1.0, done / span))
                yield Page((), through=end, share=(end - since).total_seconds() / span)
                start = end

    def _tests(self, fetcher: Fetcher, base: str, since: datetime) -> tuple[list[Metadata], list[Refusal]]:
        tests: dict[str, Metadata] = {}
        refusals: list[Refusal] = []
        offset = 0
        while True:
            query = {
                "time-start": str(int(since.timestamp())),
                "limit": str(self._metadata_page),
                "offset": str(offset),
            }
            documents = _list(base, fetcher.json(f"{base}/", query))
            before = len(tests)
            for document in documents:
                read = read_metadata(document)
                if isinstance(read, Refusal):
                    refusals.append(read)
                else:
                    tests.setdefault(read.key, read)
            offset += len(documents)
            if len(documents) < self._metadata_page:
                return list(tests.values()), refusals
            if len(tests) == before:
                raise OutsideError(f"{base}: gives no new test on a page of its list: it doesn't end")

    def _of_test(
        self,
        fetcher: Fetcher,
        base: str,
        tested: Metadata,
        span: tuple[datetime, datetime],
        access: Access,
        federation: Federation | None,
    ) -> Iterator[Found]:
        series = {
            name: self._series(fetcher, f"{base}/{tested.key}/{name}/base", *span)
            for name in tested.series
            if not 0 < tested.updated[name] < span[0].timestamp()
        }
        main = [name for name in MAIN[tested.test] if name in series]
        summary = None
        if main and not any(series[name] for name in main):
            summary = _finest(tested, main)
        if summary is None:
            yield from read_points(tested, series, None, access.archive, federation)
            return
        # failures are never summed up: they stay as they are
        failures = {name: points for name, points in series.items() if name == "failures"}
        yield from read_points(tested, failures, None, access.archive, federation)
        step = (summary.seconds, summary.kind)
        summed = {
            name: self._series(fetcher, f"{base}/{tested.key}/{name}/{step[1]}/{step[0]}", *span)
            for name, found in tested.summaries.items()
            if name in series and step in found
        }
        yield from read_points(tested, summed, summary, access.archive, federation)

    def _series(self, fetcher: Fetcher, url: str, start: datetime, end: datetime) -> list[Any]:
        """The points from `start` until before `end`."""
        first, last = int(start.timestamp()), int(end.timestamp())
        query = {"time-start": str(first), "time-end": str(last), "limit": str(self._points)}
        points = _list(url, fetcher.json(url, query))
        if len(points) >= self._points and last - first > 1:
            middle = datetime.fromtimestamp((first + last) // 2, UTC)
            return [
                *self._series(fetcher, url, start, middle),
                *self._series(fetcher, url, middle, end),
            ]
        # the end belongs to the slice that begins there; what has no time is refused later, by name
        return [point for point in points if _before(point, last)]


def _finest(tested: Metadata, main: list[str]) -> Summary | None:
    found = sorted(one for name in main for one in tested.summaries[name])
    return Summary(found[0][1], found[0][0]) if found else None


def _before(point: Any, last: int) -> bool:
    at = number(mapping(point).get("ts"))
    return at is None or at < last or at >= _NEVER


def _list(url: str, answer: Any) -> list[Any]:
    if not isinstance(answer, list):
        raise OutsideError(f"{url}: expected a list as esmond gives it, got JSON of another shape")
    return answer

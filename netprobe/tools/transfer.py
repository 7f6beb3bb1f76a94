"""Real transfers as measurements: a file over HTTP, moved by `netprobe.mover` where it is wanted."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from federation.about import About
from federation.clock import Clock, SystemClock
from federation.errors import InputError
from federation.hosts import Host
from netprobe import mover, mover_ask, mover_batch
from netprobe.addresses import Allowed
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.mover_ask import Answer, Asked
from netprobe.mover_batch import WORKERS, Group
from netprobe.mover_file import File
from netprobe.mover_http import shown
from netprobe.quantiles import Quantiles
from netprobe.tools import Test, _mover, _parameters
from netprobe.tools._mover import TransferError as TransferError

PREDICTED = ("predicted_seconds", "predicted_seconds_p10", "predicted_seconds_p90")
NAMES = ("url", "path", "size_bytes", "checksum", "endpoint", *PREDICTED)
# of the files of a transfer, how many sizes are kept at most
SIZES = 64

# called with the bytes moved so far, a few times a second
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Moved:
    """A file that is whole, verified and on the disk at `path`.

    `seconds` is from the first connect to synced on disk; `document` is the mover's own account (its phases).
    """

    url: str
    path: Path
    size_bytes: int
    sha256: str
    seconds: float
    source_address: str | None
    destination_address: str | None
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Files that were moved together, in the order asked for; `groups` as `mover_batch.Batch` has them."""

    files: tuple[Moved, ...]
    groups: Mapping[str, Group]
    seconds: float


async def fetch(
    host: Host,
    url: str,
    path: Path,
    size_bytes: int | None = None,
    checksum: str | None = None,
    progress: Progress | None = None,
    time_limit_seconds: float = 3600.0,
    allowed: Allowed | None = None,
    s3: bool = False,
) -> Moved:
    """Bring `url` to `path` on `host`, as `fetch_all` does with many."""
    file = File(url, str(path), size_bytes, checksum, s3=s3)
    return (await fetch_all(host, [file], progress, time_limit_seconds, allowed)).files[0]


async def fetch_all(
    host: Host,
    files: Sequence[File],
    progress: Progress | None = None,
    time_limit_seconds: float = 3600.0,
    allowed: Allowed | None = None,
    workers: int = WORKERS,
    bearers: Mapping[str, str] | None = None,
) -> Batch:
    """Bring all `files` to `host`, `workers` of a group at a time; return when they are verified and synced.

    `allowed` is what may be fetched there besides public addresses; None is for URLs that the caller vouches
    for, and allows everything. `bearers` are tokens by the server that each is for ("https://HOST:PORT").

    Raises TransferError for the first that can't be had: then nothing is at its path that wasn't there
    before, others may be done. Cancelled: the mover has ended before CancelledError leaves. URLs and tokens
    are on no command line, in no environment and on no disk.
    """
    if not files:
        return Batch((), {}, 0.0)
    done: dict[int, Moved] = {}

    def on_document(document: dict[str, Any]) -> None:
        if document.get("event") == "progress" and progress is not None:
            progress(document["bytes"])
        elif document.get("event") == "file":
            number = document["number"]
            done[number] = _moved(Path(files[number].path), document)

    about = shown(files[0].url) if len(files) == 1 else f"{len(files)} files"
    arguments = ["fetch-all", mover.GIVEN, "--workers", str(workers), *_mover.allow(allowed)]
    given = json.dumps({"files": mover_batch.document(files), "bearers": dict(bearers or {})})
    end = await _mover.last_said(host, arguments, given, about, time_limit_seconds, on_document)
    groups = {name: Group(**group) for name, group in end["groups"].items()}
    return Batch(tuple(done[number] for number in range(len(files))), groups, end["seconds"])


def _moved(path: Path, document: Mapping[str, Any]) -> Moved:
    return Moved(
        url=document["url"],
        path=path,
        size_bytes=document["size_bytes"],
        sha256=document["sha256"],
        seconds=document["seconds"],
        source_address=document["source_address"],
        destination_address=document["destination_address"],
        document=document,
    )


async def head(
    host: Host,
    url: str,
    time_limit_seconds: float = 30.0,
    allowed: Allowed | None = None,
    bearers: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """What the server says of `url`, asked from `host`; for `allowed` and `bearers` see `fetch_all`.

    Keys: size_bytes (None: not said), accept_ranges, etag, last_modified. Raises TransferError.
    """
    arguments = ["head", mover.GIVEN, *_mover.allow(allowed)]
    given = json.dumps({"url": url, "bearers": dict(bearers or {})})
    return await _mover.last_said(host, arguments, given, shown(url), time_limit_seconds)


async def ask(
    host: Host, asked: Asked, time_limit_seconds: float, allowed: Allowed | None = None
) -> Sequence[Answer]:
    """What the servers answer to small requests that are sent from `host`, in their order; for `allowed` see
    `fetch_all`. A request that got no answer says why. Raises TransferError where none could be sent."""
    arguments = ["ask", *_mover.allow(allowed), "--stall-seconds", f"{max(time_limit_seconds, 0.1):.3f}"]
    about = shown(asked.requests[0].url) if asked.requests else "nothing"
    answers: dict[int, Answer] = {}
    given = mover_ask.document(asked)
    end = await _mover.run(host, _mover.MOVER, arguments, given, about, time_limit_seconds)
    for line in end.stdout.splitlines():
        said = _mover.read_line(line, about)
        _mover.raise_error(said)
        found = mover_ask.read_answer(said)
        answers[found.number] = found
    _mover.check_end(end, about, time_limit_seconds)
    return [answers[number] for number in range(len(asked.requests))]


def measurement(
    moved: Moved, source: str, destination: str, started: datetime, predicted: Quantiles | None = None
) -> Measurement:
    """A transfer as the archive keeps it; `predicted` is what had been forecast for it, in seconds."""
    return group_measurement([moved], moved.seconds, source, destination, started, predicted)


def group_measurement(
    moved: Sequence[Moved],
    seconds: float,
    source: str,
    destination: str,
    started: datetime,
    predicted: Quantiles | None = None,
) -> Measurement:
    """The files that came over one path together, in `seconds`, as one transfer; at least one."""
    size_bytes = sum(one.size_bytes for one in moved)
    figures = {
        "seconds": seconds,
        "size_bytes": float(size_bytes),
        "files": float(len(moved)),
        "bits_per_second": size_bytes * 8 / seconds,
    }
    if predicted is not None:
        figures["predicted_seconds"] = predicted.p50
        figures["predicted_seconds_p10"] = predicted.p10
        figures["predicted_seconds_p90"] = predicted.p90
    parameters: dict[str, Any] = {"url": moved[0].url, "sha256": moved[0].sha256}
    if len(moved) > 1:
        parameters = {"first_url": moved[0].url, "sizes": _summary([one.size_bytes for one in moved])}
    return Measurement(
        kind=Kind.TRANSFER,
        source=source,
        destination=destination,
        started=started,
        seconds=seconds,
        tool=Transfer.name,
        origin=Origin.STAGING,
        figures=figures,
        parameters=parameters,
        source_address=moved[0].source_address,
        destination_address=moved[0].destination_address,
        raw=moved[0].document if len(moved) == 1 else {"files": [one.document for one in moved]},
    )


def _summary(sizes: Sequence[int]) -> list[list[int]]:
    """[count, mean size] of at most SIZES slices of the sizes in order: what forecasts look at."""
    ordered = sorted(sizes, reverse=True)
    slices = min(len(ordered), SIZES)
    ends = [len(ordered) * n // slices for n in range(slices + 1)]
    parts = [ordered[start:end] for start, end in pairwise(ends)]
    return [[len(part), round(sum(part) / len(part))] for part in parts]


class Transfer:
    """Moves the file `url` to the destination's host; without `path`, to a temporary place.

    `url` may be s3://bucket/object, of the S3 service at `endpoint`: an object that everybody may read, or
    one whose URL is signed already, then given as https://. With `endpoint`, what the store says is verified.
    """

    ABOUT = About(
        does="A real transfer of a file over HTTP, measured.",
        cannot="Needs a file that a server gives out, and room for it where it goes.",
    )

    name = "transfer"
    # a transfer fills the path as iperf3 does
    exclusive = True

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def check(self, parameters: Mapping[str, Any]) -> None:
        _parameters.known(self.name, parameters, NAMES)
        if _parameters.text(self.name, parameters, "url") is None:
            raise InputError("transfer: url: expected the http://, https:// or s3:// URL to move, got none")
        _parameters.text(self.name, parameters, "endpoint")
        _http_url(parameters)
        _parameters.text(self.name, parameters, "path")
        _parameters.text(self.name, parameters, "checksum")
        size = parameters.get("size_bytes")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
            raise InputError(f"transfer: size_bytes: expected a whole number of bytes, got {size!r}")
        _predicted(parameters)

    async def run(self, test: Test) -> Measurement:
        self.check(test.parameters)
        if test.parameters.get("path"):
            return await self._run(test, Path(test.parameters["path"]))
        with tempfile.TemporaryDirectory(prefix="fairlead-transfer-") as directory:
            return await self._run(test, Path(directory) / "file")

    async def _run(self, test: Test, path: Path) -> Measurement:
        given = test.parameters
        started, begun = self._clock.now(), time.monotonic()
        source, destination = test.source.site, test.destination.site
        try:
            moved = await fetch(
                test.destination.host,
                _http_url(given),
                path,
                given.get("size_bytes"),
                given.get("checksum"),
                time_limit_seconds=test.time_limit_seconds,
                s3="endpoint" in given,
            )
        except TransferError as problem:
            return Measurement(
                kind=Kind.TRANSFER,
                source=source,
                destination=destination,
                started=started,
                seconds=time.monotonic() - begun,
                tool=self.name,
                origin=Origin.STAGING,
                parameters=dict(given),
                error=f"{source} to {destination}: {problem}",
            )
        return measurement(moved, source, destination, started, _predicted(given))


def _http_url(parameters: Mapping[str, Any]) -> str:
    """What is fetched: s3://bucket/object by path under the endpoint, which every S3 service understands."""
    url, endpoint = str(parameters["url"]), parameters.get("endpoint")
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return url
    if not endpoint or urlsplit(endpoint).scheme not in ("http", "https"):
        raise InputError(f"transfer: endpoint: expected the URL of the S3 service of {url}, got {endpoint!r}")
    if not parts.netloc or not parts.path.strip("/"):
        raise InputError(f"transfer: url: expected s3://bucket/object, got {url!r}")
    key = quote(url.partition("://")[2].partition("/")[2], safe="/~")
    return f"{endpoint.rstrip('/')}/{parts.netloc}/{key}"


def _predicted(parameters: Mapping[str, Any]) -> Quantiles | None:
    if not any(name in parameters for name in PREDICTED):
        return None
    try:
        median, low, high = (float(parameters[name]) for name in PREDICTED)
        return Quantiles(low, median, high)
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(f"transfer: expected all of {', '.join(PREDICTED)}: {problem}") from problem

"""Content negotiation: which codec reads a body, which writes the answer, and how errors are worded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.codec import BODY_LIMIT, JSON, YAML, Codec, Malformed
from broker.contract.xml import XML

# what is read and written, the preferred one first
CODECS = (JSON, YAML, XML)


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """An answer other than what was asked for: status, one line for a person, more members of the body."""

    def __init__(
        self, status: int, error: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        self.status, self.headers = status, dict(headers or {})
        self.document: dict[str, Any] = {"error": error, **more}
        super().__init__(error)


@dataclass(frozen=True)
class Writer:
    """How an answer is written: the codec, under the media type that was asked for."""

    codec: Codec
    media_type: str

    def response(
        self, document: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        return Response(
            self.codec.write(document),
            status_code=status,
            # what a reader sees depends on who asks, so that no cache may keep it
            headers={"Vary": "Accept, Authorization", "Cache-Control": "no-store", **(headers or {})},
            media_type=self.media_type,
        )


DEFAULT = Writer(JSON, JSON.media_types[0])


def choose_writer(accept: str | None) -> Writer:
    """The codec for an Accept header (RFC 9110, section 12.5.1): the best quality, JSON where all are equal.

    Raises Refused (406) where nothing acceptable can be written.
    """
    if accept is None or not accept.strip():
        return DEFAULT
    ranges = _ranges(accept)
    best, best_quality = None, 0.0
    for codec in CODECS:
        for media_type in codec.media_types:
            quality = _quality(media_type, ranges)
            if quality > best_quality:
                best, best_quality = Writer(codec, media_type), quality
    if best is None:
        raise Refused(406, _unacceptable("can be written", accept))
    return best


def prefers_html(accept: str | None) -> bool:
    """Whether a page is wanted rather than a document, as browsers do."""
    ranges = _ranges(accept or "")
    best = max(_quality(media_type, ranges) for codec in CODECS for media_type in codec.media_types)
    return _quality("text/html", ranges) > best


def choose_reader(content_type: str | None) -> Codec:
    """The codec for a Content-Type header; JSON where there is none. Raises Refused (415)."""
    if content_type is None or not content_type.strip():
        return JSON
    media_type, *parameters = [part.strip().lower() for part in content_type.split(";")]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(415, f"charset {value.strip()} is not read here: utf-8 is")
    for codec in CODECS:
        suffix = f"+{codec.name.lower()}"
        if media_type in codec.media_types or media_type.endswith(suffix):
            return codec
    raise Refused(415, _unacceptable("is read", content_type))


async def read_body(request: Request) -> Any:
    """The document in a request's body. Raises Refused: 415, 413, or 400 with what is wrong and where."""
    codec = choose_reader(request.headers.get("content-type"))
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Refused(415, f"content encoding {encoding} is not read here: send the body as it is")
    body = await read_limited(request)
    try:
        # a megabyte of elements takes a second or two, in which others are answered
        return await run_in_threadpool(codec.read, body)
    except Malformed as error:
        raise malformed(error) from None


async def read_limited(request: Request) -> bytes:
    """A request's body. Raises Refused (413)."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_LIMIT:
            # the rest is not read, so the connection is of no more use
            raise Refused(413, f"the body is larger than {BODY_LIMIT} bytes", {"Connection": "close"})
    return bytes(body)


def malformed(error: Malformed) -> Refused:
    """400 with the first fault, and all of them in `errors` where there are several."""
    first = error.faults[0]
    faults = [{"error": fault.error, "path": fault.path} for fault in error.faults]
    more: dict[str, Any] = {"errors": faults} if len(faults) > 1 else {}
    return Refused(400, first.error, path=first.path, **more)


def _unacceptable(what: str, asked: str) -> str:
    *others, last = [codec.media_types[0] for codec in CODECS]
    known = f"{', '.join(others)} and {last}"
    return f"{asked[:100]!r} is not what {what} here: {known}"


def _ranges(accept: str) -> list[tuple[str, float]]:
    """Media ranges with their qualities; what can't be read counts for nothing."""
    ranges = []
    for part in accept.lower().split(","):
        media_range, *parameters = [piece.strip() for piece in part.split(";")]
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = min(1.0, max(0.0, float(value)))
                except ValueError:
                    quality = 0.0
        if "/" in media_range:
            ranges.append((media_range, quality))
    return ranges


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The quality of the most specific range that covers `media_type`; 0 where none does."""
    family = media_type.partition("/")[0]
    for wanted in (media_type, f"{family}/*", "*/*"):
        for media_range, quality in ranges:
            if media_range == wanted:
                return quality
    return 0.0

"""DataLink documents: where the data itself is that an identifier stands for.

Source: DataLink 1.1, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.catalogues import CatalogueError
from broker.catalogues.fields import bytes_in
from broker.catalogues.ivoa_votable import BINARY_SECONDS, Row, rows
from broker.catalogues.urls import wrong_with
from federation.errors import one_line

# files of one item, of each of which the size may have to be asked for
MOST_LINKS = 100
# in the term's short form, or as the URI of the vocabulary
THIS = "#this"


class LinkError(CatalogueError):
    """The document leads to nothing that can be fetched. `kind` is that of the note to the client."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def is_datalink(access_format: str | None) -> bool:
    """Whether that is the media type of a DataLink document."""
    return "content=datalink" in (access_format or "").replace(" ", "").replace('"', "").lower()


@dataclass(frozen=True)
class Link:
    """Where the data is, and how much."""

    url: str
    size_bytes: int | None


def the_data(
    body: str, ivoid: str, about: str, content_type: str | None = None, seconds: float = BINARY_SECONDS
) -> tuple[Link, ...]:
    """The links to the data itself (semantics #this), in the document's order: data of several files has a
    row for each. `about` is the document, for errors; `content_type`: only those of that media type.

    Blocks for `seconds` at most. Raises VotableError and LinkError.
    """
    found = rows(body, about, seconds)
    # a document may be about several identifiers
    own = [row for row in found if row.get("id") == ivoid] or found
    this = [row for row in own if row.get("semantics", "").endswith(THIS)]
    links = {row["access_url"]: row for row in this if "access_url" in row}
    if not links:
        raise _nothing(own, this, about)
    files = {url: row for url, row in links.items() if not is_datalink(row.get("content_type"))}
    if not files:
        words = f"{about} leads to another such document: give the access_url of a file"
        raise LinkError("data-not-resolved", words)
    if content_type is not None:
        types = sorted({row.get("content_type", "unknown") for row in files.values()})
        files = {url: row for url, row in files.items() if _is_of(row.get("content_type"), content_type)}
        if not files:
            words = f"{about} has the data as {' and '.join(types)[:200]}, not as {content_type[:80]}"
            raise LinkError("data-not-found", words)
    if len(files) > MOST_LINKS:
        words = f"{about} names {len(files)} files as the data itself, more than {MOST_LINKS}"
        raise LinkError("resource-limit", f"{words}: give the datalink row of one")
    return tuple(_link(url, row, about) for url, row in files.items())


def _link(url: str, row: Row, about: str) -> Link:
    wrong = wrong_with(url)
    if wrong is not None:
        raise LinkError("data-location", f"the access_url in {about} {wrong}")
    return Link(url, bytes_in(row.get("content_length", "")))


def _is_of(given: str | None, wanted: str) -> bool:
    """Whether that is the media type; its parameters count where they are asked for."""
    found, asked = ((text or "").replace(" ", "").lower() for text in (given, wanted))
    return found == asked or found.partition(";")[0] == asked


def _nothing(own: Sequence[Row], this: Sequence[Row], about: str) -> LinkError:
    failed = next((row["error_message"] for row in (*this, *own) if "error_message" in row), None)
    if failed is not None:
        return LinkError("data-not-found", f"{about} says {one_line(failed)[:200]!r}")
    service = next((row["service_def"] for row in this if "service_def" in row), None)
    if service is not None:
        words = f"{about} leaves the data to a service ({service[:80]!r}), and none is called here"
        return LinkError("data-not-resolved", f"{words}: give the access_url of a file")
    return LinkError("data-not-found", f"{about} names nothing as the data itself")

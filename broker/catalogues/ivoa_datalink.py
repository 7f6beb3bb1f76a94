"""DataLink documents: where the data itself is that an identifier stands for.

Source: DataLink 1.1, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.catalogues import CatalogueError
from broker.catalogues.ivoa_votable import Row, rows
from broker.catalogues.urls import wrong_with

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


def the_data(body: str, ivoid: str, about: str) -> Link:
    """The one link to the data itself (semantics #this). `about` is the document, for errors.

    Raises VotableError and LinkError.
    """
    found = rows(body, about)
    # a document may be about several identifiers
    own = [row for row in found if row.get("id") == ivoid] or found
    this = [row for row in own if row.get("semantics", "").endswith(THIS)]
    links = {row["access_url"]: row for row in this if "access_url" in row}
    if len(links) > 1:
        words = f"{about} names {len(links)} files as the data itself: give the datalink row of one"
        raise LinkError("data-not-resolved", words)
    if not links:
        raise _nothing(own, this, about)
    [(url, row)] = links.items()
    wrong = wrong_with(url)
    if wrong is not None:
        raise LinkError("data-location", f"the access_url in {about} {wrong}")
    length = row.get("content_length", "")
    return Link(url, int(length) if length.isascii() and length.isdigit() else None)


def _nothing(own: Sequence[Row], this: Sequence[Row], about: str) -> LinkError:
    failed = next((row["error_message"] for row in (*this, *own) if "error_message" in row), None)
    if failed is not None:
        return LinkError("data-not-found", f"{about} says {' '.join(failed.split())[:200]!r}")
    service = next((row["service_def"] for row in this if "service_def" in row), None)
    if service is not None:
        words = f"{about} leaves the data to a service ({service[:80]!r}), and none is called here"
        return LinkError("data-not-resolved", f"{words}: give the access_url of a file")
    return LinkError("data-not-found", f"{about} names nothing as the data itself")

"""What a Rucio server answers, as far as it matters here. (Its streams are one JSON object a line.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from broker.catalogues import MOST_BYTES, MOST_FILES

T = TypeVar("T")
# lines of a stream: each file once in each of its datasets, or a storage element
MOST_LINES = 10 * MOST_FILES
LONGEST_WORDS = 200
Bytes = Annotated[int, msgspec.Meta(ge=0, le=MOST_BYTES)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
FILE = "FILE"
DATASET = "DATASET"
CONTAINER = "CONTAINER"
TAPE = "TAPE"
AVAILABLE = "AVAILABLE"


class Did(msgspec.Struct, frozen=True):
    """A data identifier; of a collection, `length` files of together `bytes`, those of all below it."""

    scope: str
    name: str
    type: str
    bytes: Bytes | None = None
    length: Count | None = None


class Member(msgspec.Struct, frozen=True):
    """What a collection holds directly."""

    scope: str
    name: str
    type: str


class ListedFile(msgspec.Struct, frozen=True):
    """A file of a collection, however deep."""

    scope: str
    name: str
    bytes: Bytes | None = None


class DatasetReplica(msgspec.Struct, frozen=True):
    """What one storage element has of a dataset: files that are there and can be read."""

    rse: str
    available_length: Count | None = None
    available_bytes: Bytes | None = None


class Copy(msgspec.Struct, frozen=True):
    """One URL of a file. `client_extract`: the file is inside the archive that the URL is of."""

    rse: str
    type: str = "DISK"
    priority: int = 0
    client_extract: bool = False


class FileReplicas(msgspec.Struct, frozen=True):
    """A file with its URLs, and the states of its copies by storage element, also of those without a URL."""

    scope: str
    name: str
    bytes: Bytes | None = None
    md5: str | None = None
    adler32: str | None = None
    pfns: Mapping[str, Copy] = {}
    states: Mapping[str, str] = {}


class Protocol(msgspec.Struct, frozen=True):
    """A way into a storage element; `domains` has a priority for each operation, None where it is off."""

    hostname: str
    scheme: str
    port: int = 0
    prefix: str | None = None
    domains: Mapping[str, Mapping[str, int | None]] = {}


class Rse(msgspec.Struct, frozen=True):
    """A storage element."""

    rse: str
    rse_type: str = "DISK"
    availability_read: bool = True
    availability_write: bool = True
    protocols: list[Protocol] = []


class Rule(msgspec.Struct, frozen=True):
    """A replication rule. `created_at` and `updated_at` are as in "Thu, 26 Nov 2026 10:52:18 UTC"."""

    id: str
    rse_expression: str
    state: str
    locks_ok_cnt: Count = 0
    locks_replicating_cnt: Count = 0
    locks_stuck_cnt: Count = 0
    error: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    expires_at: str | None = None


class Distance(msgspec.Struct, frozen=True):
    """How far one storage element is from another."""

    distance: float | None = None


class Complaint(msgspec.Struct, frozen=True, rename="pascal"):
    """Why it says no."""

    exception_class: str = ""
    exception_message: str = ""


def read_one(body: bytes, kind: type[T]) -> T:
    """Raises ValueError with words for what is something else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)[:LONGEST_WORDS]) from None


def read_stream(body: bytes, kind: type[T]) -> list[T]:
    """The objects of a stream. Raises ValueError as `read_one`, and for more than MOST_LINES."""
    if body.count(b"\n") > MOST_LINES:
        raise ValueError(f"more than {MOST_LINES} lines")
    decoder = msgspec.json.Decoder(kind)
    try:
        return decoder.decode_lines(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)[:LONGEST_WORDS]) from None

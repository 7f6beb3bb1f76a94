"""The object store by which results come back from servers that nobody can reach: where they lie there, and
what a server may do there, which is to put objects of these names and sizes and nothing else.

A server needs no way to the broker, nor the broker one to it: a bucket is what both can reach, and large
results don't pass through the broker's API.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from broker.catalogues import CatalogueError
from broker.catalogues.s3_forms import form
from broker.catalogues.s3_options import credential
from broker.catalogues.s3_signing import MOST_SECONDS
from broker.catalogues.s3_store import ASK_SECONDS, Bucket
from broker.file_names import plain_name
from broker.platforms import PlatformError
from federation.sites import Federation, Site
from reservations.tables import Table

log = logging.getLogger(__name__)
GIB = 2**30
# URLs take room in the user data, and S3 takes no larger object in one piece
PARTS_LIMIT, PART_BYTES, MOST_PART_BYTES = 128, GIB, 5 * GIB
STORAGE_LIMIT_GIB = PARTS_LIMIT * MOST_PART_BYTES // GIB
# the list of 10,000 files with long paths
MANIFEST_BYTES = 16 * 1024 * 1024
# forms whose policy bounds what they store; and URLs, for stores without forms, which bound the names alone
POST, PUT = "post", "put"
REMOVE_SECONDS = 20.0


@dataclass(frozen=True)
class ResultStore:
    """A bucket of S3. `send_seconds` is how long a server may try to send; `upload` is POST or PUT."""

    bucket: Bucket
    prefix: str
    send_seconds: float
    upload: str = POST

    def plan(self, folder: str, storages: Mapping[str, str], most_bytes: int) -> dict[str, Any]:
        """What a server is told (`openstack_sending.send`): its storages by name, and where they go.

        `folder` is a name that nobody else can know. Raises PlatformError where nothing can be signed.
        """
        manifest, parts = self.keys(folder, most_bytes)
        size = part_bytes(most_bytes)
        where = self._uploads()
        return {
            "storages": dict(storages),
            "most_bytes": most_bytes,
            "part_bytes": size,
            "parts": [where(key, min(size, most_bytes - size * n)) for n, key in enumerate(parts)],
            "manifest": where(manifest, MANIFEST_BYTES),
            "seconds": self.send_seconds,
        }

    def keys(self, folder: str, most_bytes: int) -> tuple[str, Sequence[str]]:
        """Of the manifest, and of the parts that there may be."""
        count = max(1, -(-most_bytes // part_bytes(most_bytes)))
        return f"{self.prefix}{folder}/manifest", [
            f"{self.prefix}{folder}/{part:04}" for part in range(count)
        ]

    def url(self, key: str) -> str:
        """To be read now. Raises PlatformError."""
        return self._signer(ASK_SECONDS, "GET")(key)

    def remove(self, folder: str, most_bytes: int) -> None:
        """All that a server may have put there. What can't be removed is said in the log: the bucket's own
        rule of how long objects live is for that."""
        manifest, parts = self.keys(folder, most_bytes)
        try:
            signed = self._signer(ASK_SECONDS, "DELETE")
            with httpx.Client(timeout=REMOVE_SECONDS, trust_env=False) as client:
                for key in (manifest, *parts):
                    said = client.delete(signed(key))
                    if said.status_code >= 300 and said.status_code != 404:
                        raise PlatformError(f"the store answered {said.status_code}")
        except (httpx.HTTPError, PlatformError) as error:
            reason = str(error) if isinstance(error, PlatformError) else type(error).__name__
            log.warning("%s: %s: results stay there: %s", self.bucket.url(), folder, reason)

    def _uploads(self) -> Callable[[str, int], str | Mapping[str, Any]]:
        """Makes of a key, and of the bytes that it may take, where and how that is sent."""
        if self.upload == PUT:
            signed = self._signer(MOST_SECONDS, "PUT")
            return lambda key, most_bytes: signed(key)
        if self.bucket.credential is None:
            raise PlatformError("a form can't be signed without an access key")
        try:
            access, region = self.bucket.credential.key(), self.bucket.credential.region
        except CatalogueError as error:
            raise PlatformError(str(error)) from error
        url, name, now = self.bucket.url(), self.bucket.name, datetime.now(UTC)
        return lambda key, most_bytes: {
            "url": url,
            "fields": form(access, region, name, key, most_bytes, MOST_SECONDS, now),
        }

    def _signer(self, seconds: int, method: str) -> Callable[[str], str]:
        try:
            return self.bucket.signer(seconds, method)
        except CatalogueError as error:
            raise PlatformError(str(error)) from error


def folder(job_id: str, word: str) -> str:
    """Of one server's objects. Another server of the session doesn't write there."""
    return f"{plain_name(job_id)}-{word}"


def part_bytes(most_bytes: int) -> int:
    """How large the parts are of which all but the last are of one size."""
    return max(PART_BYTES, -(-most_bytes // PARTS_LIMIT))


def result_store(
    site: Site, federation: Federation, options: Mapping[str, Any], send_seconds: float
) -> ResultStore:
    """What the option `results` says. Raises InputError."""
    table = Table(options, f"site {site.id!r}: option 'results'")
    prefix, upload = table.text("prefix", ""), table.text("upload", POST)
    if upload not in (POST, PUT):
        raise table.bad("upload", f"{POST!r} or {PUT!r}")
    bucket = table.text("bucket")
    found = credential(table, federation)
    return ResultStore(Bucket(found.endpoint, bucket, found.addressing, found), prefix, send_seconds, upload)

"""A bucket of S3 by which results come back, on loopback, with a key that may put, get and remove."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from defusedxml.ElementTree import fromstring

from broker.catalogues.s3_options import Credential
from broker.catalogues.s3_signing import presigned
from broker.catalogues.s3_store import Bucket
from broker.platforms.openstack_store import POST, ResultStore
from tests.catalogues.serving import served

NAME = "empty"


@dataclass(frozen=True)
class ResultBucket:
    endpoint: str
    file: Path

    @property
    def options(self) -> dict[str, Any]:
        """As a site's `results`."""
        where = {"endpoint": self.endpoint, "bucket": NAME, "prefix": "fairlead/"}
        return {**where, "file": str(self.file)}

    def store(
        self, endpoint: str | None = None, send_seconds: float = 300.0, upload: str = POST
    ) -> ResultStore:
        at = endpoint or self.endpoint
        key = Credential(at, NAME, None, "us-east-1", "path", self.file, "default", None)
        return ResultStore(Bucket(at, NAME, "path", key), "fairlead/", send_seconds, upload)

    def names(self) -> list[str]:
        """The objects that are there."""
        key = self.store().bucket.credential
        assert key is not None
        listed = presigned(
            key.key(), key.region, f"{self.endpoint}/{NAME}", 60, datetime.now(UTC), "GET", {"list-type": "2"}
        )
        answer = httpx.get(listed, trust_env=False, timeout=60).raise_for_status()
        return [each.text or "" for each in fromstring(answer.text).iter() if each.tag.endswith("}Key")]


@contextmanager
def bucket(directory: Path) -> Iterator[ResultBucket]:
    with served("s3_server.py", directory / "s3.log") as line:
        said, file = json.loads(line), directory / "keeper"
        key_id, secret = said["keys"]["keeper"]
        file.write_text(f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")
        yield ResultBucket(f"http://127.0.0.1:{said['port']}", file)


def a_storage(top: Path) -> Path:
    """A storage as a container leaves it: files of 150 kB in all, and what is not to be sent."""
    (top / "a" / "b").mkdir(parents=True)
    (top / "cube.fits").write_bytes(os.urandom(150_000))
    (top / "a" / "empty").write_bytes(b"")
    (top / "a" / "b" / "ü 1.txt").write_bytes(b"42\n")
    (top / "link").symlink_to("/etc/hostname")
    (top / "below").symlink_to("/etc")
    os.mkfifo(top / "pipe")
    os.utime(top / "cube.fits", (1e9, 1e9))
    return top

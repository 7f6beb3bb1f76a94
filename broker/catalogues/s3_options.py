"""Who we are at S3 services: access keys by endpoint, bucket and site ([catalogues.s3]).

Keys are in files as Amazon's tools write them, or in the environment; never in the catalogue file. They are
read when they are needed, so that whoever renews them there has done enough.
"""

from __future__ import annotations

import configparser
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.catalogues import CatalogueError
from broker.catalogues.s3_signing import Key
from broker.catalogues.urls import wrong_with
from federation.errors import InputError
from federation.sites import Federation
from federation.urls import is_secure
from reservations.tables import Table

WHERE = "[catalogues.s3]"
PATH, VIRTUAL = "path", "virtual"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Credential:
    """One access key: for all buckets of `endpoint`, or `bucket` alone; for what is moved to `site`, or all.

    `addressing`: "path" is endpoint/bucket/object, "virtual" is bucket.endpoint/object. `environment` is how
    the names of the variables begin.
    """

    endpoint: str
    bucket: str | None
    site: str | None
    region: str
    addressing: str
    file: Path | None
    profile: str
    environment: str | None

    def key(self) -> Key:
        """The key as it is now. Raises CatalogueError, which doesn't show what there is, for clients read it;
        where the key should be goes to the log, for the operator."""
        if self.file is not None:
            (found, why), where = _profile(self.file, self.profile), "file"
        else:
            names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
            found, where = [os.environ.get(f"{self.environment}_{name}") for name in names], "environment"
            why = f"expected one in {self.environment}_{names[0]} and {self.environment}_{names[1]}"
        key_id, secret, token = ((each or "").strip() for each in found)
        if not key_id or not secret or not all(map(_plain, (key_id, secret, token))):
            _log.warning("there is no access key for %s: %s", self.endpoint, why)
            raise CatalogueError(f"this broker's {where} holds no access key for {self.endpoint}")
        return Key(key_id, secret, token or None)


def credentials(federation: Federation) -> Sequence[Credential]:
    """Those of the catalogue file; none where it has no [catalogues.s3]. Raises InputError where they can't
    work."""
    table = Table(federation.catalogues.get("s3", {}), WHERE)
    found: list[Credential] = []
    for each in table.tables("credentials"):
        one = credential(each, federation)
        if any(_place(one) == _place(other) for other in found):
            raise each.bad("endpoint", "one key for each endpoint, bucket and site")
        found.append(one)
    table.end()
    return found


def chosen(
    known: Sequence[Credential], endpoint: str, bucket: str, site: str | None = None
) -> Credential | None:
    """The most special one for `bucket`: for moving to `site`, or, where that is None, for looking at it."""
    fitting = [
        each
        for each in known
        if each.endpoint == endpoint
        and each.bucket in (None, bucket)
        and (site is None or each.site in (None, site))
    ]
    # the site's own first; for looking, what is for all sites
    ranks = [((each.site is None) == (site is None), each.bucket is not None) for each in fitting]
    return max(zip(ranks, fitting, strict=True), key=lambda pair: pair[0])[1] if fitting else None


def _place(one: Credential) -> tuple[str, str | None, str | None]:
    return one.endpoint, one.bucket, one.site


def credential(table: Table, federation: Federation) -> Credential:
    """One access key as a table says it. Raises InputError."""
    endpoint = table.text("endpoint").rstrip("/")
    if wrong_with(endpoint) is not None or not is_secure(endpoint) or set("?#") & set(endpoint):
        raise table.bad("endpoint", "a URL that begins with https:// (http:// is for this machine)")
    found = Credential(
        endpoint=endpoint,
        bucket=table.text("bucket", None),
        site=table.text("site", None),
        region=table.text("region", "us-east-1"),
        addressing=table.text("addressing", PATH),
        file=table.path("file", None),
        profile=table.text("profile", "default"),
        environment=table.text("environment", None),
    )
    table.end()
    if found.addressing not in (PATH, VIRTUAL):
        raise table.bad("addressing", f"{PATH} or {VIRTUAL}")
    if found.site is not None and found.site not in federation.sites:
        raise table.bad("site", f"one of {', '.join(federation.sites)}")
    if (found.file is None) == (found.environment is None):
        raise InputError(f"{table.where}: expected file or environment, which say where the key is")
    return found


def _profile(file: Path, profile: str) -> tuple[list[str | None], str]:
    """What the profile has of a key, and what to say of the file where that is none."""
    parser = configparser.RawConfigParser()
    nothing: list[str | None] = [None, None, None]
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except OSError as error:
        return nothing, f"{file}: {error.strerror or error}"
    except (UnicodeDecodeError, configparser.Error):
        # its own words may show what is secret
        return nothing, f"{file}: expected profiles as Amazon's tools write them"
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    found = [parser.get(profile, name, fallback=None) for name in names]
    return found, f"{file}: expected {names[0]} and {names[1]} under [{profile}]"


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text

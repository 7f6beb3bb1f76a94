"""A bucket of an S3 service: how large an object is, what lies below a prefix, and what its errors mean.

Requests are signed here, and sent where the store is reached (`heads.ask`). No redirect is followed: a store
whose bucket is elsewhere says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote, unquote_plus, urlencode, urlsplit
from xml.etree.ElementTree import Element

from broker.catalogues import MOST_FILES, CatalogueError
from broker.catalogues.fields import bytes_in
from broker.catalogues.heads import ask
from broker.catalogues.s3_options import PATH, Credential
from broker.catalogues.s3_signing import presigned
from broker.catalogues.xml_reading import read_xml
from federation.sites import Federation
from netprobe.mover_ask import Answer, Request

# of what is asked right now
ASK_SECONDS = 300
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}", re.ASCII)
# what the client can do nothing about
_OURS = {
    "InvalidAccessKeyId": "it doesn't know this broker's access key",
    "SignatureDoesNotMatch": "it doesn't take this broker's signature: the secret key is another",
    "ExpiredToken": "this broker's temporary access key has ended",
    "InvalidToken": "it doesn't take the token of this broker's temporary access key",
    "TokenRefreshRequired": "this broker's temporary access key has ended",
    "RequestTimeTooSkewed": "its clock and this broker's are too far apart",
    "AuthorizationHeaderMalformed": "the bucket is in another region than this broker signs for",
    "AuthorizationQueryParametersError": "the bucket is in another region than this broker signs for",
    "PermanentRedirect": "the bucket is in another region or at another endpoint",
    "TemporaryRedirect": "the bucket is on its way to another region",
    "SlowDown": "it is asked too often just now",
}


class StoreError(CatalogueError):
    """The store says no, or can't be asked. `kind` is that of the note to the client."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Object:
    key: str
    size_bytes: int


@dataclass(frozen=True)
class Bucket:
    """A bucket; `credential` None: what everybody may do is done, unsigned."""

    endpoint: str
    name: str
    addressing: str
    credential: Credential | None

    def url(self, key: str = "") -> str:
        """Of an object, or of the bucket itself."""
        if self.addressing == PATH:
            return (
                f"{self.endpoint}/{self.name}/{quote(key, safe='/~')}"
                if key
                else f"{self.endpoint}/{self.name}"
            )
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{self.name}.{parts.netloc}{parts.path}/{quote(key, safe='/~')}"

    def key_of(self, url: str) -> str | None:
        """The key that `url` names; None where it isn't of this bucket."""
        begin = f"{self.url().rstrip('/')}/"
        return unquote(url.removeprefix(begin)) if url.startswith(begin) else None

    def signer(self, seconds: int, method: str = "GET", **parameters: str) -> Callable[[str], str]:
        """Makes of a key a URL that is good for `seconds`; unsigned where there is no credential.

        Raises CatalogueError where the access key can't be read any more.
        """
        query = {name.replace("_", "-"): value for name, value in parameters.items()}
        if self.credential is None:
            tail = f"?{urlencode(query)}" if query else ""
            return lambda key: f"{self.url(key)}{tail}"
        access, region = self.credential.key(), self.credential.region

        def signed(key: str) -> str:
            return presigned(access, region, self.url(key), seconds, datetime.now(UTC), method, query)

        return signed


def size_of(federation: Federation, bucket: Bucket, key: str, until: float) -> int:
    """The size of an object in bytes, asked for until `until` (time.monotonic). Raises CatalogueError."""
    said = _ask(federation, bucket, bucket.signer(ASK_SECONDS, "HEAD")(key), until, method="HEAD")
    length = bytes_in(said.headers.get("content-length", ""))
    if said.status == 200 and length is not None:
        return length
    # only an answer with a body says whether the object or its bucket isn't there
    said = _ask(federation, bucket, bucket.signer(ASK_SECONDS)(key), until, {"Range": "bytes=0-0"})
    whole = bytes_in(said.headers.get("content-range", "").rpartition("/")[2])
    if said.status in (206, 416) and whole is not None:
        return whole
    raise _refusal(said, bucket, key)


def below(federation: Federation, bucket: Bucket, prefix: str, until: float) -> list[Object]:
    """All objects whose keys begin with `prefix`, by key, and without the empty ones that mark folders.

    At most MOST_FILES, asked for until `until` (time.monotonic). Raises CatalogueError.
    """
    found: list[Object] = []
    more: dict[str, str] = {}
    while True:
        asked = {"list_type": "2", "encoding_type": "url", "prefix": prefix, **more}
        said = _ask(federation, bucket, bucket.signer(ASK_SECONDS, **asked)(""), until)
        if said.status != 200:
            raise _refusal(said, bucket, None)
        page = _xml(said, bucket)
        for each in page.findall("Contents"):
            key, size = unquote_plus(each.findtext("Key") or ""), bytes_in(each.findtext("Size") or "")
            if not key.startswith(prefix) or size is None:
                raise StoreError("catalogue-failed", f"{bucket.url()} lists what wasn't asked for")
            if not key.endswith("/"):
                found.append(Object(key, size))
        if len(found) > MOST_FILES:
            words = f"{bucket.url(prefix)} holds more than can be brought: at most {MOST_FILES} objects"
            raise StoreError("resource-limit", words)
        token = page.findtext("NextContinuationToken")
        if (page.findtext("IsTruncated") or "").lower() != "true" or not token:
            return sorted(found, key=lambda each: each.key)
        if more.get("continuation_token") == token or time.monotonic() >= until:
            raise StoreError("catalogue-failed", f"{bucket.url()} doesn't come to an end with its list")
        more = {"continuation_token": token}


def _ask(
    federation: Federation,
    bucket: Bucket,
    url: str,
    until: float,
    headers: dict[str, str] | None = None,
    method: str = "GET",
) -> Answer:
    [said] = ask(federation, [Request(url, method, headers or {}, follow=False)], until)
    if said.error is not None:
        kind = "data-not-found" if said.reason == "forbidden" else "catalogue-failed"
        raise StoreError(kind, said.error)
    return said


def _xml(said: Answer, bucket: Bucket) -> Element:
    """The document, its names without their namespace: services differ in that."""
    try:
        if not said.whole:
            raise ValueError
        root = read_xml(said.body)
    except ValueError:
        words = f"{bucket.url()}: what the server answers is no list of objects"
        raise StoreError("catalogue-failed", words) from None
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    if root.tag != "ListBucketResult":
        words = f"{bucket.url()}: what the server answers is no list of objects"
        raise StoreError("catalogue-failed", words)
    return root


def _code(said: Answer) -> str:
    """The code of an error, such as "NoSuchKey"; empty where the answer has none."""
    try:
        root = read_xml(said.body)
    except ValueError:
        return ""
    found = next((each.text or "" for each in root.iter() if each.tag.rpartition("}")[2] == "Code"), "")
    return found if _CODE.fullmatch(found) else ""


def _refusal(said: Answer, bucket: Bucket, key: str | None) -> StoreError:
    """What a refusal means, as far as S3 tells: without the right to list, a missing object is "403"."""
    code = _code(said)
    answered = f"the server answered {said.status}{f' {code}' if code else ''}"
    if code == "NoSuchBucket":
        return StoreError(
            "data-not-found", f"there is no bucket {bucket.name} at {bucket.endpoint}: {answered}"
        )
    if code in _OURS:
        return StoreError("catalogue-failed", f"{bucket.endpoint}: {_OURS[code]}: {answered}")
    if code == "NoSuchKey" or (said.status == 404 and key is not None):
        return StoreError("data-not-found", f"there is no such object in {bucket.url()}: {answered}")
    if said.status in (401, 403):
        if bucket.credential is None:
            why = "and this broker has no access key for it"
        elif key is not None:
            why = "this broker's access key may not read it, or it isn't there"
        else:
            why = "this broker's access key may not list what is in it"
        return StoreError("data-not-public", f"{bucket.url(key or '')}: {answered}; {why}")
    kind = "data-not-found" if said.status == 404 else "catalogue-failed"
    return StoreError(kind, f"{bucket.url(key or '')}: {answered}")


def clash(paths: Sequence[str]) -> str | None:
    """A path that can't lie beside the others in one folder; S3 has no folders, and so allows it."""
    plain = [tuple(part for part in path.split("/") if part) for path in paths]
    files, seen = set(plain), set[tuple[str, ...]]()
    for path, parts in zip(paths, plain, strict=True):
        inside = any(parts[:length] in files for length in range(1, len(parts)))
        if not parts or parts in seen or inside:
            return path
        seen.add(parts)
    return None

"""URLs of S3 that hold their own signature: AWS Signature Version 4 in the query ("presigned").

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
Signing sends nothing: the request then goes out from where the store is reached.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
# S3 takes no signature that is good for longer
MOST_SECONDS = 7 * 86400


@dataclass(frozen=True)
class Key:
    """An access key. `token` is that of temporary ones."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def presigned(
    key: Key,
    region: str,
    url: str,
    seconds: int,
    now: datetime,
    method: str = "GET",
    parameters: Mapping[str, str] | None = None,
) -> str:
    """`url` with `parameters` and a signature, good for `method` from `now` on for `seconds`.

    `url` has an encoded path and no query.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    if parts.port not in (None, 443 if parts.scheme == "https" else 80):
        host += f":{parts.port}"
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    query = {
        **(parameters or {}),
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{key.key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(min(max(seconds, 1), MOST_SECONDS)),
        "X-Amz-SignedHeaders": "host",
    }
    if key.token is not None:
        query["X-Amz-Security-Token"] = key.token
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in query.items())
    canonical_query = "&".join(f"{name}={value}" for name, value in pairs)
    path = parts.path or "/"
    request = "\n".join((method, path, canonical_query, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
    to_sign = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    signed = signature(key, scope, to_sign)
    return f"{parts.scheme}://{host}{path}?{canonical_query}&X-Amz-Signature={signed}"


def signature(key: Key, scope: str, text: str) -> str:
    """Of `text`, by what is derived of the key for `scope` (DATE/REGION/SERVICE/aws4_request)."""
    signing = f"AWS4{key.secret}".encode()
    for word in scope.split("/"):
        signing = _mac(signing, word)
    return _mac(signing, text).hex()


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

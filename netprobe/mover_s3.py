"""What an S3 store says of an object in the headers of its answer. Standard library only."""

from __future__ import annotations

import base64
import contextlib
import re
from http.client import HTTPMessage


def stated_checksum(headers: HTTPMessage) -> tuple[str, str] | None:
    """(algorithm, hexadecimal) that an S3 store says of the whole object; None for other servers.

    `x-amz-checksum-sha256` is base64, and of the object unless it is composed of its parts'. The ETag is the
    object's MD5 if it was put in one part and isn't encrypted with a key of KMS or the client's own.
    """
    if "x-amz-request-id" not in headers:
        return None
    with contextlib.suppress(ValueError):
        digest = base64.b64decode(headers.get("x-amz-checksum-sha256", ""), validate=True)
        if len(digest) == 32 and headers.get("x-amz-checksum-type") != "COMPOSITE":
            return "sha256", digest.hex()
    encrypted = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    found = re.fullmatch(r'"([0-9a-f]{32})"', headers.get("ETag", ""))
    return ("md5", found[1]) if found and not encrypted and not own_key else None

"""Forms by which somebody without a key stores one object of S3, of bounded size.

A signed URL bounds the name of what is stored, and not how much it is; the policy of a form bounds both.
Source: Amazon S3 API Reference, "Browser-Based Uploads Using POST (AWS Signature Version 4)".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from broker.catalogues.s3_signing import ALGORITHM, MOST_SECONDS, Key, signature


def form(
    key: Key, region: str, bucket: str, name: str, most_bytes: int, seconds: int, now: datetime
) -> Mapping[str, str]:
    """The fields to be sent to the bucket's URL, in this order and before the file: good from `now` on for
    `seconds`, for the object `name` of `most_bytes` at most.

    Each field but the signature stands in the policy: some stores take no other.
    """
    at = now.astimezone(UTC)
    stamp = f"{at:%Y%m%dT%H%M%SZ}"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    fields = {
        "key": name,
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": f"{key.key_id}/{scope}",
        "x-amz-date": stamp,
    }
    if key.token is not None:
        fields["x-amz-security-token"] = key.token
    until = at + timedelta(seconds=min(max(seconds, 1), MOST_SECONDS))
    conditions = [{"bucket": bucket}, *({field: value} for field, value in fields.items())]
    document = {
        "expiration": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "conditions": [*conditions, ["content-length-range", 0, most_bytes]],
    }
    policy = base64.b64encode(json.dumps(document).encode()).decode()
    return {**fields, "policy": policy, "x-amz-signature": signature(key, scope, policy)}

"""Who we are at a file's server: what the broker's own tokens and access keys are good for, as with data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from broker.catalogues.http_tokens import Tokens
from broker.catalogues.s3_options import PATH, Credential, chosen, credentials
from broker.catalogues.s3_store import ASK_SECONDS, Bucket
from federation.sites import Federation


def authorised(federation: Federation, url: str) -> tuple[str, Mapping[str, str]]:
    """`url`, signed where it is of an S3 bucket that there is a key for and isn't signed already; and the
    tokens by server, as `netprobe.mover_http.Connections` has them.

    Raises CatalogueError where a token or key can't be read, InputError where the options can't work.
    """
    signed = None if "?" in url else _signed(credentials(federation), url)
    return (signed, {}) if signed else (url, Tokens(federation).bearers([url]))


def _signed(known: Sequence[Credential], url: str) -> str | None:
    for each in known:
        name = each.bucket or _bucket_name(each, url)
        one = chosen(known, each.endpoint, name) if name else None
        if name and one is not None:
            bucket = Bucket(one.endpoint, name, one.addressing, one)
            key = bucket.key_of(url)
            if key:
                return bucket.signer(ASK_SECONDS)(key)
    return None


def _bucket_name(credential: Credential, url: str) -> str | None:
    """The bucket that `url` names, if it is of the credential's endpoint."""
    if credential.addressing == PATH:
        begin = f"{credential.endpoint}/"
        return url.removeprefix(begin).partition("/")[0] if url.startswith(begin) else None
    host, store = urlsplit(url).netloc, f".{urlsplit(credential.endpoint).netloc}"
    return host.removesuffix(store) if host.endswith(store) else None

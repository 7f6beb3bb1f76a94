"""What a client's URL must be before anything looks at it, and which ones this machine may look at itself."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

SCHEMES = ("http", "https")


def wrong_with(url: object) -> str | None:
    """Why `url` can't be fetched, to follow "the URL ..." in a sentence; None if nothing is wrong."""
    if not isinstance(url, str) or not url:
        return f"is not a URL: expected http://... or https://..., got {url!r}"
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        return "holds spaces or control characters: expected them percent-encoded"
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError as error:
        return f"is not a URL: {error}"
    if parts.scheme.lower() not in SCHEMES:
        return f"has the scheme {parts.scheme!r}: expected http or https"
    if not parts.hostname or not port_is_right:
        return "names no host and port: expected http://HOST/... or http://HOST:PORT/..."
    if "@" in parts.netloc:
        return "holds a user name or password, which others could read: expected a URL without them"
    return None


def refusal(url: str) -> str | None:
    """Why this machine mustn't send a request to `url`, a right URL of no site of ours; None if it may.

    Loopback and public addresses are allowed. Private, link-local (so cloud metadata, too) and reserved ones
    aren't: a client could make the broker look around in the network that it stands in. Every address that
    the name has must be allowed. Looks the name up: may block for as long as the resolver's own limit.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"the name {host} was not found ({error.strerror or error})"
    for text in sorted({str(entry[4][0]) for entry in found}):
        address = ipaddress.ip_address(text.partition("%")[0])
        inner = getattr(address, "ipv4_mapped", None) or address
        if not (inner.is_loopback or (inner.is_global and not inner.is_multicast)):
            return (
                f"{host} has the address {text}, which is neither public nor loopback, and belongs to no site"
            )
    return None

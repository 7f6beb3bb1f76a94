"""What a client's URL must be before anything looks at it, and which addresses may be fetched at a site."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from federation.sites import Federation, Site
from netprobe.addresses import Allowed

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
    if not parts.scheme:
        # not repeated: it may hold a password
        return "has no scheme: expected http://... or https://..."
    if parts.scheme.lower() not in SCHEMES:
        return f"has the scheme {parts.scheme!r}: expected http or https"
    if not parts.hostname or not port_is_right:
        return "names no host and port: expected http://HOST/... or http://HOST:PORT/..."
    if "@" in parts.netloc:
        return "holds a user name or password, which others could read: expected a URL without them"
    return None


def allowed_at(federation: Federation, site: Site | None) -> Allowed:
    """What may be fetched at `site` (None: by the broker itself) besides public addresses.

    That is the storage of all sites of the federation, and what the site's own policy allows.
    """
    hosts = list(site.data_hosts) if site else []
    networks = []
    for word in site.policy.allowed_networks if site else ():
        try:
            networks.append(str(ipaddress.ip_network(word, strict=False)))
        except ValueError:
            hosts.append(word)
    peers = [
        pattern for other in federation if site is None or other.id != site.id for pattern in other.data_hosts
    ]
    return Allowed(tuple(hosts), tuple(peers), tuple(networks))

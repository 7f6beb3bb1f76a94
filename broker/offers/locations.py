"""Where images and data come from, in one form each, and patterns of a policy that match them.

Two spellings of one place must not be two places for a policy: hosts are compared in small letters, addresses
as numbers (127.1 is 127.0.0.1), default ports are left out, escapes and dots in paths are resolved first.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import posixpath
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DOCKER = "docker.io"
# names under which that registry answers, too
_DOCKER_HOSTS = frozenset(
    {"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"}
)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
# schemes before what is an image reference otherwise
_REFERENCES = frozenset({"docker", "oras"})
# whose registry is the one that its tools ask where the reference names none
_LIBRARIES = {"library": "library.sylabs.io", "shub": "singularity-hub.org"}


@dataclass(frozen=True)
class Location:
    """A URL taken apart. `hosts`: every spelling that a pattern may mean, with and without the port."""

    scheme: str
    hosts: tuple[str, ...]
    # with and without the query
    paths: tuple[str, ...]


def registry(reference: str) -> str:
    """The registry of an image: HOST or HOST:PORT; docker.io where the reference names none.

    Singularity's URIs (docker://, oras://, library://, shub://, https://) are understood, too.
    """
    scheme, separator, rest = reference.partition("://")
    if separator and scheme.lower() in _LIBRARIES:
        return _LIBRARIES[scheme.lower()]
    if separator and scheme.lower() not in _REFERENCES:
        return _host(scheme.lower(), re.split("[/?#]", rest, maxsplit=1)[0])
    first, slash, _ = (rest if separator else reference).partition("/")
    if not (slash and ("." in first or ":" in first or first.lower() == "localhost")):
        return DOCKER
    host = _host("https", first)
    return DOCKER if host in _DOCKER_HOSTS else host


def registry_matches(patterns: Iterable[str], name: str) -> bool:
    """Whether a pattern names the registry, by its host alone or with its port."""
    names = (name, name.partition(":")[0])
    return any(fnmatch.fnmatchcase(each, pattern.lower()) for pattern in patterns for each in names)


def location(url: str) -> Location:
    """`url` in the one form that policies are compared with; a URL without a scheme has the scheme ""."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
    except ValueError:  # brackets that hold no address: nothing can be fetched from there
        return Location("", (url.lower(),), ("/",))
    scheme = parts.scheme.lower()
    host = _host(scheme, parts.netloc)
    name, _, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    default = _DEFAULT_PORTS.get(scheme)
    hosts = [host, name] if port else [host, *([f"{host}:{default}"] if default else [])]
    path = plain_path(parts.path)
    return Location(scheme, tuple(hosts), (f"{path}?{parts.query}", path) if parts.query else (path,))


def url_matches(patterns: Iterable[str], url: str) -> bool:
    """Whether a pattern names `url`: by HOST, HOST:PORT, or URL.

    The host of a URL pattern matches hosts and its path paths, so that "*" never reaches from one into the
    other; one without a path names everything on its host.
    """
    return any(_matches(pattern, location(url)) for pattern in patterns)


def _matches(pattern: str, there: Location) -> bool:
    scheme, separator, rest = pattern.partition("://")
    if not separator:
        scheme, rest = "", pattern
    host, slash, path = rest.partition("/")
    if scheme and there.scheme and not fnmatch.fnmatchcase(there.scheme, scheme.lower()):
        return False
    default = _DEFAULT_PORTS.get(scheme.lower())
    wanted = host.lower().removesuffix(f":{default}") if default else host.lower()
    if not any(fnmatch.fnmatchcase(name, wanted) for name in there.hosts):
        return False
    return not slash or any(fnmatch.fnmatchcase(each, f"/{path}") for each in there.paths)


def plain_path(path: str) -> str:
    """An absolute path without escapes, dots and doubled slashes; a slash at its end stays."""
    plain = posixpath.normpath("/" + unquote(path).lstrip("/"))
    return plain + "/" if path.endswith("/") and plain != "/" else plain


def _host(scheme: str, netloc: str) -> str:
    """Small letters, without user, final dot and default port."""
    host = netloc.rpartition("@")[2].lower()
    name, colon, port = host.rpartition(":")
    if not colon or re.fullmatch("[0-9]{1,5}", port) is None:
        return _numbered(host.removesuffix(":").removesuffix("."))
    name = _numbered(name.removesuffix("."))
    return name if int(port) == _DEFAULT_PORTS.get(scheme) else f"{name}:{int(port)}"


def _numbered(name: str) -> str:
    """An address as it is usually written, however it is; a name as it is."""
    if name.startswith("[") and name.endswith("]"):
        try:
            address = ipaddress.IPv6Address(name[1:-1])
        except ValueError:
            return name
        return str(address.ipv4_mapped or f"[{address}]")
    if name.rpartition(".")[2][:1].isdigit():
        try:
            return socket.inet_ntoa(socket.inet_aton(name))
        except (OSError, ValueError):
            return name
    return name

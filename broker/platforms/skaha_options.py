"""The options of the platform skaha (catalogue, [sites.<id>.platform.options])."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from broker.platforms.options import read_options
from federation.errors import InputError
from federation.sites import Site
from federation.units import parse_bits_per_second
from federation.urls import is_secure

DEFAULTS: dict[str, Any] = {
    "url": None,  # of the service with its version, as https://ws-uv.canfar.net/skaha/v1; required
    "token_file": None,  # a bearer token; read again for each request
    "certificate_file": None,  # a proxy certificate with its key (PEM) instead
    "ca_file": None,  # who signs the service's own certificate, where the machine doesn't know
    "registry_auth_file": None,  # "user:secret" for images that Skaha doesn't list
    "registries_file": None,  # mirrors, plain HTTP: how the broker asks registries
    "outside_rate": None,  # what pulls from outside the federation get, such as "200 Mbit/s"
    "staging": None,  # a directory of the containers' storage, as this machine has it mounted
    "staging_there": None,  # the same directory as containers have it; the same path where unset
    "links_below": ["/tmp", "/scratch"],  # where containers may write, and so may link to what is staged
    "notebook_image": None,  # notebooks are refused without
    "image_seconds": 120.0,  # P90 from a session's creation to its running
    "request_seconds": 20.0,  # how long one answer may take
    "refresh_seconds": 60.0,  # how old what Skaha says of images, sizes and free space may be
    "poll_seconds": 5.0,  # how old its list of our sessions may be
    "log_seconds": 30.0,  # between two looks at a running session's output
    "patience_seconds": 600.0,  # how long a running session is believed in while Skaha is silent
}
PATHS = ("token_file", "certificate_file", "ca_file", "registry_auth_file", "registries_file", "staging")
# what goes to Skaha as arguments, which it splits at spaces and pastes unquoted
PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._+=@-]+)+")


@dataclass(frozen=True)
class Options:
    """DEFAULTS, with what the site's catalogue says instead."""

    url: str
    token_file: Path | None
    certificate_file: Path | None
    ca_file: Path | None
    registry_auth_file: Path | None
    registries_file: Path | None
    outside_rate: float | None  # bits per second
    staging: Path | None
    staging_there: PurePosixPath | None
    links_below: tuple[PurePosixPath, ...]
    notebook_image: str | None
    image_seconds: float
    request_seconds: float
    refresh_seconds: float
    poll_seconds: float
    log_seconds: float
    patience_seconds: float


def skaha_options(site: Site) -> Options:
    """The options of `site`. Raises InputError where they can't work."""
    found = read_options(site, DEFAULTS)
    _check(site.id, found)
    found["outside_rate"] = _rate(site.id, found["outside_rate"])
    for name in PATHS:
        found[name] = None if found[name] is None else Path(found[name])
    there = found["staging_there"] or found["staging"]
    found["staging_there"] = None if there is None else PurePosixPath(there)
    found["links_below"] = tuple(map(PurePosixPath, found["links_below"]))
    found["url"] = found["url"].rstrip("/")
    return Options(**{field.name: found[field.name] for field in fields(Options)})


def _rate(site_id: str, text: str | None) -> float | None:
    try:
        return None if text is None else parse_bits_per_second(text)
    except InputError as problem:
        raise InputError(f"site {site_id!r}: option 'outside_rate': {problem}") from None


def _check(site_id: str, options: dict[str, Any]) -> None:
    where = f"site {site_id!r}: option"
    url = options["url"] or ""
    if not is_secure(url) or urlsplit(url).query or "@" in urlsplit(url).netloc:
        expected = "expected the URL of a Skaha with its version, as https://ws-uv.canfar.net/skaha/v1"
        raise InputError(f"{where} 'url': {expected} (http:// is for a server on this machine), got {url!r}")
    if bool(options["token_file"]) == bool(options["certificate_file"]):
        got = "both" if options["token_file"] else "none"
        raise InputError(f"{where} 'token_file' or 'certificate_file': expected one of them, got {got}")
    if options["certificate_file"] and urlsplit(url).scheme != "https":
        raise InputError(f"{where} 'url': expected https, for a certificate is shown there, got {url!r}")
    if options["staging_there"] and not options["staging"]:
        raise InputError(f"{where} 'staging_there': expected 'staging' with it, got none")
    for name in ("staging_there", "staging"):
        path = options[name]
        if path is not None and (PLAIN_PATH.fullmatch(path) is None or ".." in path.split("/")):
            expected = "expected an absolute path of letters, digits and ._+=@- alone"
            raise InputError(f"{where} {name!r}: {expected}, got {path!r}")
    for path in options["links_below"]:
        if not isinstance(path, str) or PLAIN_PATH.fullmatch(path) is None:
            raise InputError(f"{where} 'links_below': expected absolute paths, got {path!r}")
    for name, value in options.items():
        least = 0.1 if name == "request_seconds" else 0
        if name.endswith("_seconds") and not least <= value < float("inf"):
            raise InputError(f"{where} {name!r}: expected a positive number, got {value!r}")

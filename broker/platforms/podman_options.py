"""The options of the platform podman (catalogue, [sites.<id>.platform.options])."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from broker.images import Access
from broker.images.access import site_access
from broker.images.credentials import check_file, default_file
from broker.images.registries import read_registries
from broker.platforms import notebook, podman_ports
from broker.platforms.options import read_options
from federation.errors import InputError
from federation.sites import Federation, Site
from federation.units import parse_bits_per_second

DEFAULTS: dict[str, Any] = {
    "staging": None,  # directory for staged files; the work directory where unset
    "network": "none",  # as in `podman run --network`
    "ports": "refuse",  # or "publish"
    "publish_address": "127.0.0.1",  # the address of this machine on which ports are published
    "public_address": None,  # how that is called outside; the same where unset
    "limits": "required",  # "none": run without limits where podman can't set them
    "processes": 2048,  # of one container at most
    "engine_run": [],  # more options of `podman run`
    "privileged": False,  # whether privileged containers may run
    "image_seconds": 60.0,  # P90 of pulling an image
    "pull_seconds": 900.0,  # when a pull is given up
    "outside_rate": None,  # what pulls from outside the federation get, such as "200 Mbit/s"
    # podman's own where unset
    "auth_file": None,  # logins of registries, as `podman login --authfile` makes them
    "registries_file": None,  # mirrors and the like, as in containers-registries.conf(5)
    "stop_seconds": 10.0,  # from SIGTERM to SIGKILL
    **notebook.OPTIONS,
}
# stopping is one step of a session, and those have limits
LONGEST_STOP_SECONDS = 45.0


def podman_options(site: Site) -> Mapping[str, Any]:
    """The options of `site` over DEFAULTS. Raises InputError where they can't work."""
    options = read_options(site, DEFAULTS)
    _check_options(site.id, options)
    try:
        outside_rate(options)
    except InputError as problem:
        raise InputError(f"site {site.id!r}: option 'outside_rate': {problem}") from None
    podman_ports.check_options(site.id, options)
    notebook.check_options(site.id, options)
    return options


def podman_access(federation: Federation, site: Site, options: Mapping[str, Any]) -> Access:
    """How registries are asked for the site before podman asks them: as it will. Raises InputError."""
    where = f"site {site.id!r}: option"
    file = None if options["registries_file"] is None else Path(options["registries_file"])
    named = None if options["auth_file"] is None else Path(options["auth_file"])
    try:
        registries = read_registries(file)
    except InputError as problem:
        raise InputError(f"{where} 'registries_file': {problem}") from None
    try:
        if named is not None:
            check_file(named)
    except InputError as problem:
        raise InputError(f"{where} 'auth_file': {problem}") from None
    return site_access(federation, site, registries, named or default_file())


def outside_rate(options: Mapping[str, Any]) -> float | None:
    """Bits per second; None where the operator doesn't say."""
    rate = options["outside_rate"]
    return None if rate is None else parse_bits_per_second(rate)


def pull_flags(options: Mapping[str, Any]) -> Sequence[str]:
    return () if options["auth_file"] is None else ("--authfile", str(options["auth_file"]))


def _check_options(site_id: str, options: Mapping[str, Any]) -> None:
    """Raises InputError where an option of ours has a value that makes no sense."""
    expected = None
    if options["limits"] not in ("required", "none"):
        expected = "limits", "'required' or 'none'"
    elif not all(isinstance(part, str) and part for part in options["engine_run"]):
        expected = "engine_run", "a list of texts"
    elif options["processes"] < 1:
        expected = "processes", "1 or more"
    elif not 0 <= options["stop_seconds"] <= LONGEST_STOP_SECONDS:
        expected = "stop_seconds", f"0 to {LONGEST_STOP_SECONDS:g}"
    elif options["image_seconds"] < 0 or options["pull_seconds"] <= 0:
        expected = "image_seconds" if options["image_seconds"] < 0 else "pull_seconds", "a positive number"
    if expected is not None:
        name, what = expected
        raise InputError(f"site {site_id!r}: option {name!r}: expected {what}, got {options[name]!r}")

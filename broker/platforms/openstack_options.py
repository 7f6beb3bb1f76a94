"""The options of the platform openstack (catalogue, [sites.<id>.platform.options])."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.images import Access
from broker.images.access import site_access
from broker.images.credentials import check_file
from broker.images.registries import Registries, read_registries
from broker.platforms.options import read_options
from federation.errors import InputError
from federation.sites import Federation, Site
from federation.units import parse_bits_per_second

DEFAULTS: dict[str, Any] = {
    "cloud": None,  # of clouds.yaml; OS_CLOUD or OS_* where unset
    "image": None,  # the id of the servers' image; required
    "flavours": [],  # names of those that may be used where nothing is reserved; all plain ones where empty
    "network": "auto",  # the id of a network, or Nova's own words "auto" and "none"
    "key": None,  # name of the key pair that may log in; nobody may where unset
    "security_groups": [],  # their names; the project's default where empty
    "availability_zone": None,
    "config_drive": False,  # hand over the script on a disk: for networks without a metadata service
    "python": "/usr/bin/python3",  # of the image: 3.10 or newer
    "engine": ["podman"],  # podman or docker of the image, with its general options
    "engine_run": [],  # more options of its `run`
    "container_network": "none",  # as in `podman run --network`
    "limits": "required",  # "none": the server itself is the only limit
    "processes": 2048,  # of one container at most
    "local_images": [],  # container images that the servers' image brings along
    "storage": "refuse",  # "scratch": storages are there, and gone with the server; "keep": see `results`
    "results": {},  # the bucket by which what is in storages comes back: see `openstack_store.result_store`
    "results_seconds": 1800.0,  # how long a server may try to send it
    "server_disk_gib": 8,  # of a server's disk, what its image and the container's take
    "boot_volume": False,  # servers boot from a volume of theirs, and not from their flavour's disk
    "start_seconds": 180.0,  # P90 from asking for a server to its first report: it has booted
    "image_seconds": 60.0,  # P90 until the image is there after that, where its size isn't known
    "pull_seconds": 900.0,  # when the server gives up pulling
    # what the servers' image has, so that registries are asked before an offer as they will be by the server
    "auth_file": None,  # its logins of registries, as in containers-auth.json(5); none where unset
    "registries_file": None,  # its mirrors, as in containers-registries.conf(5); none where unset
    "outside_rate": None,  # what pulls from outside the federation get, such as "200 Mbit/s"
    "boot_seconds": 900.0,  # when a server that never said anything is given up
    "silence_seconds": 300.0,  # when one that did is
    "stop_seconds": 20.0,  # how long a server has to end its container and tell
    "request_seconds": 20.0,  # how long one answer of the cloud may take
    "poll_seconds": 5.0,  # between two looks at a session's server
    "refresh_seconds": 600.0,  # how old the list of flavours may be
}
LISTS = ("flavours", "security_groups", "engine", "engine_run", "local_images")
# stopping is one step of a session, and those have limits
LONGEST_STOP_SECONDS = 40.0


def openstack_options(site: Site) -> Mapping[str, Any]:
    """The options of `site` over DEFAULTS. Raises InputError where they can't work."""
    options = read_options(site, DEFAULTS)
    for name in LISTS:
        if not all(isinstance(part, str) and part for part in options[name]):
            raise _wrong(site, name, "a list of texts", options[name])
    if not options["image"]:
        raise _wrong(site, "image", "the id of an image for servers", options["image"])
    if not options["engine"]:
        raise _wrong(site, "engine", "a command, such as ['podman']", options["engine"])
    for name, words in {"limits": ("required", "none"), "storage": ("refuse", "scratch", "keep")}.items():
        if options[name] not in words:
            raise _wrong(site, name, " or ".join(map(repr, words)), options[name])
    if (options["storage"] == "keep") != bool(options["results"]):
        raise _wrong(
            site, "results", "a bucket where storage is 'keep', and nothing else", options["results"]
        )
    try:
        parse_bits_per_second(options["outside_rate"] or "1 bit/s")
    except InputError as problem:
        raise InputError(f"site {site.id!r}: option 'outside_rate': {problem}") from None
    if not options["python"].startswith("/") or any(letter.isspace() for letter in options["python"]):
        raise _wrong(site, "python", "an absolute path without spaces", options["python"])
    for name, value in options.items():
        least = 0.1 if name == "request_seconds" else 1 if name == "processes" else 0
        most = LONGEST_STOP_SECONDS if name == "stop_seconds" else float("inf")
        is_number = isinstance(DEFAULTS[name], int | float) and not isinstance(DEFAULTS[name], bool)
        if is_number and not least <= value <= most:
            expected = f"{least:g} or more" if most == float("inf") else f"{least:g} to {most:g}"
            raise _wrong(site, name, expected, value)
    return options


def registry_access(federation: Federation, site: Site, options: Mapping[str, Any]) -> Access:
    """How registries are asked for the servers. Raises InputError."""
    files = {name: options[name] and Path(options[name]) for name in ("registries_file", "auth_file")}
    name = "registries_file"
    try:
        registries = read_registries(files[name]) if files[name] else Registries()
        name = "auth_file"
        if files[name]:
            check_file(files[name])
    except InputError as problem:
        raise InputError(f"site {site.id!r}: option {name!r}: {problem}") from None
    return site_access(federation, site, registries, files["auth_file"])


def _wrong(site: Site, name: str, expected: str, got: Any) -> InputError:
    return InputError(f"site {site.id!r}: option {name!r}: expected {expected}, got {got!r}")

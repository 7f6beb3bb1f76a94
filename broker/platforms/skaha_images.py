"""What registries are asked of the images that a Skaha would run, and what is said of the answer.

Kubernetes pulls them, on whichever node has room: what nodes have already nobody tells, and all of an image
counts. The registries are those that Skaha itself names, with the secret that it would be sent.
"""

from __future__ import annotations

from dataclasses import replace

from broker.images import Access, Image, Wanted
from broker.images.access import site_access
from broker.images.references import is_local, qualified
from broker.images.registries import Registries, read_registries
from broker.model import Executable, ExecutableKind, Level, Note
from broker.platforms.skaha_check import image_of
from broker.platforms.skaha_options import Options
from broker.platforms.skaha_view import View
from federation.errors import InputError
from federation.sites import Federation, Site

LONGEST_USER = 40
# programs that boot a whole system: whoever isn't root is refused by them
BOOTS = frozenset(
    {"/sbin/init", "/usr/sbin/init", "/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"}
)


def skaha_access(federation: Federation, site: Site, options: Options) -> Access:
    """How registries are asked for the site, before Skaha has named them. Raises InputError.

    Nodes don't read this machine's registries.conf: without a file of its operator's, none counts.
    """
    file = options.registries_file
    try:
        registries = Registries() if file is None else read_registries(file)
    except InputError as problem:
        raise InputError(f"site {site.id!r}: option 'registries_file': {problem}") from None
    access = site_access(federation, site, registries, None)
    return replace(access, secret_file=options.registry_auth_file)


def wanted_image(
    site: Site, options: Options, view: View | str, executable: Executable, access: Access
) -> tuple[Wanted, Access] | None:
    """See `PullsImages`. A digest stays what is looked for: Skaha's list may be older than the registry."""
    if isinstance(view, str):
        return None
    name = image_of(site, options, view, executable)
    if not isinstance(name, str) or is_local(name):
        return None
    digest = None if executable.kind is ExecutableKind.NOTEBOOK else _digest(executable)
    wanted = Wanted((qualified(name),), digest, executable.architecture, executable.os)
    return wanted, named_by(view, access)


def named_by(view: View, access: Access) -> Access:
    """The access to registries once Skaha has named its own: they may have private addresses, as the storage
    of other sites may."""
    peers = dict.fromkeys((*access.allowed.peers, *view.hosts))
    return replace(access, allowed=replace(access.allowed, peers=tuple(peers)))


def _digest(executable: Executable) -> str | None:
    """The one that the request names: by itself, or as part of all its locations' names."""
    if executable.digest is not None:
        return executable.digest
    named = {location.partition("@")[2] for location in executable.locations}
    return named.pop() or None if len(named) == 1 else None


def check_image(site: Site, view: View | str, image: Image) -> list[Note]:
    """What running as the account's user, never as root, means for `image`.

    Of an image that Skaha lists, somebody there has said that it is for sessions: that is worth no warning.
    """
    values = {"site": site.id, "image": image.location}
    program = next(iter((*image.entrypoint, *image.command)), "")
    if program in BOOTS:
        text = "{image} starts {program}, which must be root, and {site} runs nothing as root: name another "
        values["program"] = program
        return [Note("image-user", text + "entrypoint", values, Level.WARN)]
    listed = not isinstance(view, str) and image.location in view.images
    level = Level.INFO if listed else Level.WARN
    if image.is_root:
        text = "{image} runs as root by itself; {site} runs it as the account's user, who installs nothing, "
        text += "opens no port below 1024, and writes to its home and its storage alone"
        return [Note("image-user", text, values, level)]
    text = "{image} is made for its own user {user}; {site} runs it as the account's, who may find that "
    text += "user's files closed"
    return [Note("image-user", text, {**values, "user": repr(image.user[:LONGEST_USER])}, level)]

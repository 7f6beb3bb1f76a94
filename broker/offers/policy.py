"""What a site's policy says of a request: registries, digests, ports, paths, data, notebooks."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from broker.model import DataItem, Executable, ExecutableKind, Level, Note, Part, Replica, Request
from broker.offers.locations import plain_path, registry, registry_matches, url_matches
from broker.offers.reach import Reach
from federation.sites import Policy, Site
from federation.units import format_count
from federation.urls import server_of

DENIED = "policy-denied"
FORBIDDEN = "address-forbidden"


def executable_refused(site: Site, executable: Executable) -> list[Note]:
    """Why the site's policy doesn't let `executable` run there; empty where it does."""
    if executable.kind is ExecutableKind.NOTEBOOK:
        return [*_notebook(site, executable), *_ports(site, executable)]
    return [*_images(site, executable), *_ports(site, executable)]


def usable_data(
    site: Site, request: Request, reach: Reach | None = None
) -> tuple[tuple[DataItem, ...], list[Note]]:
    """The data with those replicas alone that the site may fetch from, and what is to be said of the others.

    An ERROR for an item that the site may not have, or none of whose replicas it may use; an INFO for a
    replica that is not used though another serves. `reach`: what addresses it may fetch from; None: any.
    """
    items: list[DataItem] = []
    notes: list[Note] = []
    for position, item in enumerate(request.data):
        path = f"/data/{position}"
        refused = _item(site, item, path)
        # what its own system brings there, the site fetches from its own storage
        where = reach if item.target(site.id) is None else None
        no = _refused(site, item.replicas, where)
        allowed = tuple(replica for replica in item.replicas if replica not in no)
        refused += _not_fetched(site, item, no, path, bool(allowed))
        parts = tuple(replace(part, replicas=_among(part.replicas, allowed)) for part in item.parts)
        for whole, part in zip(item.parts, parts, strict=True) if allowed else ():
            if not part.replicas:
                refused.append(_part(site, item, whole, no, path))
        items.append(replace(item, replicas=allowed, parts=parts))
        notes += refused
    return tuple(items), notes


def fetchable(site: Site, replicas: Iterable[Replica], reach: Reach | None) -> tuple[Replica, ...]:
    """Those that the site may fetch from: its policy allows their URL, and their server's address."""
    known = tuple(replicas)
    no = _refused(site, known, reach)
    return tuple(replica for replica in known if replica not in no)


def _refused(site: Site, replicas: Sequence[Replica], reach: Reach | None) -> Mapping[Replica, str | None]:
    """Those that the site may not fetch from, and what is wrong with their server's address (None: nothing,
    its policy denies their URL)."""
    no: dict[Replica, str | None] = {}
    for replica in replicas:
        if not may_fetch(site.policy, replica):
            no[replica] = None
        elif reach is not None and (wrong := reach.wrong_with(site, replica)) is not None:
            no[replica] = wrong
    return no


def _not_fetched(
    site: Site, item: DataItem, no: Mapping[Replica, str | None], path: str, others: bool
) -> list[Note]:
    """Why the site may not fetch from each of `no`; of one server it is said once."""
    level = Level.INFO if others else Level.ERROR
    notes = []
    for replica, wrong in no.items():
        if wrong is None:
            instead = "another replica is used" if others else "name a replica elsewhere"
            text = "the policy of {site} denies {denied}, where {name} lies: {instead}"
            values = {"denied": replica.url, "name": item.name, "instead": instead}
            notes.append(_note(site, text, path, level, **values))
        else:
            instead = "another replica is used" if others else _way_out(site, replica)
            text = "{site} may not fetch {name} from {server}: {wrong}; {instead}"
            values = {"site": site.id, "name": item.name, "server": server_of(replica.url) or ""}
            values |= {"wrong": wrong, "instead": instead}
            notes.append(Note(FORBIDDEN, text, values, level, path))
    return list({note.text: note for note in notes}.values())


def _part(site: Site, item: DataItem, part: Part, no: Mapping[Replica, str | None], path: str) -> Note:
    """That the site may fetch some files of the item from nowhere."""
    files = format_count(part.files, "file")
    forbidden = [(one, wrong) for one in part.replicas if (wrong := no.get(one)) is not None]
    if not forbidden:
        text = "the policy of {site} denies where {files} of {name} lie, and no other has them"
        text = text if part.files > 1 else text.replace(" lie,", " lies,").replace("them", "it")
        return _note(site, text, path, files=files, name=item.name)
    replica, wrong = forbidden[0]
    text = "{site} may not fetch {files} of {name} from {server}: {wrong}; {instead}"
    values = {"site": site.id, "files": files, "name": item.name}
    values |= {"server": server_of(replica.url) or "", "wrong": wrong}
    return Note(FORBIDDEN, text, {**values, "instead": _way_out(site, replica)}, Level.ERROR, path)


def _way_out(site: Site, replica: Replica) -> str:
    """What the operator would write into the catalogue of sites."""
    host = urlsplit(replica.url).hostname
    return f'its operator can allow it: allowed_networks = ["{host}"] in [sites.{site.id}.policy]'


def _among(replicas: tuple[Replica, ...], allowed: tuple[Replica, ...]) -> tuple[Replica, ...]:
    return tuple(replica for replica in replicas if replica in allowed)


def _images(site: Site, executable: Executable) -> list[Note]:
    policy, notes = site.policy, []
    single = executable.kind is ExecutableKind.SINGULARITY
    for position, image in enumerate(executable.locations):
        path = "/executable/location" if single else f"/executable/image/locations/{position}"
        name = registry(image)
        if registry_matches(policy.denied_registries, name):
            text = "the policy of {site} denies images from {registry}: use another registry"
            notes.append(_note(site, text, path, registry=name))
        elif not registry_matches(policy.allowed_registries, name):
            text = "the policy of {site} allows images from {allowed}, not from {registry}"
            allowed = _listed(policy.allowed_registries)
            notes.append(_note(site, text, path, registry=name, allowed=allowed))
    pinned = executable.digest or all("@sha" in image for image in executable.locations)
    if policy.digest_required and not pinned:
        text = "{site} runs only images whose digest is named: name it"
        path = "/executable" if single else "/executable/image/digest"
        notes.append(Note("digest-required", text, {"site": site.id}, Level.ERROR, path))
    return notes


def _notebook(site: Site, executable: Executable) -> list[Note]:
    text = "the policy of {site} denies the notebook {denied}: use another"
    return [
        _note(site, text, "/executable/location", denied=url)
        for url in executable.locations
        if url_matches(site.policy.denied_notebooks, url)
    ]


def _ports(site: Site, executable: Executable) -> list[Note]:
    policy, notes = site.policy, []
    for position, port in enumerate(executable.ports):
        path = f"/executable/network/ports/{position}"
        if port.internal in policy.denied_ports:
            text = "the policy of {site} denies port {denied}: publish another"
            notes.append(_note(site, text, f"{path}/internal/port", denied=str(port.internal)))
        if port.path is not None and _path_denied(policy, port.path):
            text = "the policy of {site} denies the path {denied}: publish another"
            notes.append(_note(site, text, f"{path}/path", denied=port.path))
    return notes


def _path_denied(policy: Policy, path: str) -> bool:
    plain = plain_path(path.partition("?")[0].partition("#")[0])
    return _matches(policy.denied_paths, (plain, plain.rstrip("/")))


def _item(site: Site, item: DataItem, path: str) -> list[Note]:
    """Why the site may not have this item, wherever it is fetched from."""
    policy, notes = site.policy, []
    if item.endpoint is not None and url_matches(policy.denied_endpoints, item.endpoint):
        text = "the policy of {site} denies the endpoint {denied} of {name}: use another"
        notes.append(_note(site, text, path, denied=item.endpoint, name=item.name))
    if item.namespace is not None and _matches(policy.denied_namespaces, (item.namespace,)):
        text = "the policy of {site} denies the namespace {denied} of {name}: use another"
        notes.append(_note(site, text, path, denied=item.namespace, name=item.name))
    if item.ivoid is not None and _ivoid_denied(policy, item.ivoid):
        text = "the policy of {site} denies the identifier {denied} of {name}: use another"
        notes.append(_note(site, text, path, denied=item.ivoid, name=item.name))
    return notes


def _ivoid_denied(policy: Policy, ivoid: str) -> bool:
    """IVOA identifiers have no case; behind "?" and "#" stand parts of the resource."""
    whole = ivoid.lower()
    resource = whole.partition("#")[0].partition("?")[0]
    return _matches((each.lower() for each in policy.denied_ivoids), (whole, resource, resource.rstrip("/")))


def may_fetch(policy: Policy, replica: Replica) -> bool:
    """Whether the policy lets its site fetch from there."""
    return url_matches(policy.allowed_data, replica.url) and not url_matches(policy.denied_data, replica.url)


def _matches(patterns: Iterable[str], names: Iterable[str]) -> bool:
    known = tuple(names)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns for name in known)


def _listed(patterns: tuple[str, ...]) -> str:
    return ", ".join(patterns) or "no registry"


def _note(site: Site, text: str, path: str, level: Level = Level.ERROR, **values: str) -> Note:
    return Note(DENIED, text, {"site": site.id, **values}, level, path)

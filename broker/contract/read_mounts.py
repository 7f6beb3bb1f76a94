"""From volumes on the wire to where the container finds its data and storage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker.contract.compute import Compute, SimpleCompute
from broker.contract.names import Names
from broker.contract.reasons import Reasons
from broker.contract.volume import SimpleVolume
from broker.contract.wire import quote
from broker.model import DataItem, Mount, MountMode
from broker.platforms.places import plain_name

# absolute, and without what the command line of a container engine takes apart (":" and ",")
# as long as Linux takes a path
LONGEST_PATH = 4095
# volumes of one request
VOLUME_LIMIT = 1000
_MOUNT_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[^/:,\x00-\x1f\x7f]+)+")
# what the kernel fills: a mount there breaks the container, or opens it
_SYSTEM = ("/proc", "/sys", "/dev")


@dataclass
class _Taken:
    """What is where in the container."""

    # path -> what is told of it: the volume's place in the request, or the name of the data
    by: dict[str, str] = field(default_factory=dict)
    # path -> the data that a mounted storage shows there, by uuid
    shown: dict[str, str] = field(default_factory=dict)


def read_mounts(
    compute: Compute | None,
    data: Sequence[DataItem],
    names: tuple[Names, Names],
    reasons: Reasons,
) -> list[Mount]:
    """The volumes asked for, then /data/NAME, read-only, for every data item that none of them mounts.

    `names` are those of data and of storage. Data that goes to a storage is a file in it, too, wherever that
    is mounted. A mount below a storage is fine; one below data isn't, for a file has no inside.
    """
    taken = _Taken()
    mounts: list[Mount] = []
    volumes = (compute.volumes if isinstance(compute, SimpleCompute) else None) or []
    if len(volumes) > VOLUME_LIMIT:
        template = "{count} volumes are more than the {limit} that one request may name"
        reasons.no("resource-limit", "/compute/volumes", template, count=len(volumes), limit=VOLUME_LIMIT)
        return mounts
    for index, volume in enumerate(volumes):
        path = f"/compute/volumes/{index}"
        if not isinstance(volume, SimpleVolume):
            reasons.foreign_kind("volume", volume.kind, path, "simple-volume-mount")
            continue
        resource = _resource(volume, path, names, reasons)
        if resource is None:
            continue
        assert volume.resource is not None
        where = volume.path if volume.path is not None else _default_path(volume.resource, resource, data)
        where = where.rstrip("/") if where != "/" else where
        if _free(where, path, taken, reasons):
            taken.by[where] = path
            mode = MountMode(volume.mode or "READONLY")
            mounts.append(Mount(path=where, mode=mode, resource=resource))
    inside: dict[str | None, list[tuple[str, str]]] = {}
    for item in data:
        inside.setdefault(item.storage, []).append((plain_name(item.name), item.uuid))
    for mount in mounts:
        for name, item_uuid in inside.get(mount.resource, ()):
            taken.shown[f"{mount.path}/{name}"] = item_uuid
    _check_shown(mounts, taken, reasons)
    mounts += _defaults(mounts, data, taken)
    _check_nesting(mounts, data, taken, reasons)
    return mounts


def _resource(volume: SimpleVolume, path: str, names: tuple[Names, Names], reasons: Reasons) -> str | None:
    """Our uuid of what the volume mounts."""
    if volume.resource is None:
        template = "a volume must name the data or storage that it mounts"
        reasons.no("missing-value", f"{path}/resource", template)
        return None
    found = [ours for family in names if (ours := family.find(volume.resource)) is not None]
    if len(found) == 1:
        return found[0]
    template = (
        "{name} is both data and storage: use the uuid of the one that is meant"
        if found
        else "there is no data or storage resource {name} in the request"
    )
    reasons.no("resource-not-found", f"{path}/resource", template, name=quote(volume.resource))
    return None


def _free(where: str, path: str, taken: _Taken, reasons: Reasons) -> bool:
    """Whether something can be mounted at `where`; the reason why not goes to `reasons`."""
    if len(where) > LONGEST_PATH or not _MOUNT_PATH.fullmatch(where):
        template = "{where} is no place for a mount: an absolute path without '..', ':' and ',' is"
        reasons.no("invalid-value", f"{path}/path", template, where=quote(where))
        return False
    if any(where == system or where.startswith(system + "/") for system in _SYSTEM):
        template = "{where} is the system's own: mount it elsewhere"
        reasons.no("invalid-value", f"{path}/path", template, where=quote(where))
        return False
    if where in taken.by:
        template = "two volumes are mounted at {where}: {other} is the other"
        other = taken.by[where]
        reasons.no("duplicate-resource", f"{path}/path", template, where=quote(where), other=other)
        return False
    return True


def _check_shown(mounts: Sequence[Mount], taken: _Taken, reasons: Reasons) -> None:
    """A volume mustn't hide a file of data that a mounted storage shows."""
    for mount in mounts:
        if mount.path in taken.shown:
            template = "{where} is where a mounted storage shows its data: mount this elsewhere"
            path = f"{taken.by[mount.path]}/path"
            reasons.no("duplicate-resource", path, template, where=quote(mount.path))


def _defaults(mounts: Sequence[Mount], data: Sequence[DataItem], taken: _Taken) -> list[Mount]:
    mounted = {mount.resource for mount in mounts}
    found = []
    for item in data:
        if item.uuid in mounted:
            continue
        wanted = where = _default_path(item.name, item.uuid, data)
        if taken.shown.get(where) == item.uuid:
            continue  # a storage mounted at /data shows it just there
        count = 1
        while where in taken.by or where in taken.shown:
            count += 1
            where = f"{wanted}-{count}"
        taken.by[where] = item.name
        found.append(Mount(path=where, mode=MountMode.READONLY, resource=item.uuid))
    return found


def _check_nesting(
    mounts: Sequence[Mount], data: Sequence[DataItem], taken: _Taken, reasons: Reasons
) -> None:
    files = {item.uuid: item.name for item in data}
    # paths at which there is a file, and whose it is
    at = {mount.path: files[mount.resource] for mount in mounts if mount.resource in files}
    at |= {path: files[item] for path, item in taken.shown.items()}
    # what lies below a path follows it directly in this order; a mount comes before the file at its own path
    places = [(mount.path + "/", 0) for mount in mounts] + [(path + "/", 1) for path in at]
    around: list[str] = []
    for place, is_file in sorted(places):
        while around and not place.startswith(around[-1]):
            around.pop()
        if is_file:
            around.append(place)
        elif around:
            _inside_a_file(place[:-1], around[-1][:-1], at, taken, reasons)


def _inside_a_file(where: str, outer: str, at: Mapping[str, str], taken: _Taken, reasons: Reasons) -> None:
    template = "{where} is inside {outer}, where the data {name} is: a file has no inside"
    # a place that was chosen by default is not the client's mistake: the other one is
    volumes = [taken.by.get(path, "") for path in (where, outer)]
    culprit = next((f"{path}/path" for path in volumes if path.startswith("/compute/")), "/compute/volumes")
    values = {"where": quote(where), "outer": quote(outer), "name": quote(at[outer])}
    reasons.no("duplicate-resource", culprit, template, **values)


def _default_path(reference: str, ours: str, data: Sequence[DataItem]) -> str:
    name = next((item.name for item in data if item.uuid == ours), reference)
    plain = re.sub(r"[^A-Za-z0-9._+=@-]", "_", name)[:200]
    return "/data/" + (plain if plain.strip(".") else "data")

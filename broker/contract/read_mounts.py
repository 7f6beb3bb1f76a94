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
from broker.file_names import plain_name
from broker.model import DataItem, Mount, MountMode

# as long as Linux takes a path
LONGEST_PATH = 4095
# volumes of one request
VOLUME_LIMIT = 1000
# absolute, and without what the command line of a container engine takes apart (":" and ",")
_MOUNT_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[^/:,\x00-\x1f\x7f]+)+")
# what the kernel fills: a mount there breaks the container, or opens it
_SYSTEM = ("/proc", "/sys", "/dev")


@dataclass
class _Taken:
    """What is where in the container."""

    # path -> the volume's place in the request; empty where the broker chose the path
    by: dict[str, str] = field(default_factory=dict)
    # storage -> the names of the files that are in it, and whose data each is; by uuid
    inside: dict[str, dict[str, DataItem]] = field(default_factory=dict)


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
    for item in data:
        if item.storage is not None:
            taken.inside.setdefault(item.storage, {})[plain_name(item.name)] = item
    mounts += _defaults(mounts, data, taken)
    _check_nesting(mounts, {item.uuid: item for item in data}, taken, reasons)
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


def _defaults(mounts: Sequence[Mount], data: Sequence[DataItem], taken: _Taken) -> list[Mount]:
    mounted = {mount.resource for mount in mounts}
    # a storage mounted at /data shows its own files there
    shown = {
        f"/data/{name}": item
        for mount in mounts
        if mount.path == "/data"
        for name, item in taken.inside.get(mount.resource, {}).items()
    }
    found = []
    for item in data:
        wanted = where = _default_path(item.name, item.uuid, data)
        if item.uuid in mounted or shown.get(where) is item:
            continue
        count = 1
        while where in taken.by or where in shown:
            count += 1
            where = f"{wanted}-{count}"
        taken.by[where] = ""
        found.append(Mount(path=where, mode=MountMode.READONLY, resource=item.uuid))
    return found


def _check_nesting(
    mounts: Sequence[Mount], data: Mapping[str, DataItem], taken: _Taken, reasons: Reasons
) -> None:
    """A mount mustn't lie inside a file, nor hide one that a mounted storage shows."""
    # in this order, what lies below a path follows it directly
    around: list[Mount] = []
    for mount in sorted(mounts, key=lambda mount: mount.path + "/"):
        while around and not mount.path.startswith(around[-1].path + "/"):
            around.pop()
        if around:
            _check_inside(mount, around[-1], data, taken, reasons)
        around.append(mount)


def _check_inside(
    mount: Mount, outer: Mount, data: Mapping[str, DataItem], taken: _Taken, reasons: Reasons
) -> None:
    file, item = outer.path, data.get(outer.resource)
    if item is None:
        name = mount.path[len(outer.path) + 1 :].partition("/")[0]
        file, item = f"{outer.path}/{name}", taken.inside.get(outer.resource, {}).get(name)
        if item is None:
            return
    if file == mount.path:
        template = "{where} is where a mounted storage shows the data {name}: mount this elsewhere"
    else:
        template = "{where} is inside {file}, where the data {name} is: a file has no inside"
    # a place that was chosen by default is not the client's mistake: the other one is
    culprit = taken.by[mount.path] or taken.by[outer.path]
    values = {"where": quote(mount.path), "file": quote(file), "name": quote(item.name)}
    reasons.no("duplicate-resource", f"{culprit}/path", template, **values)


def _default_path(reference: str, ours: str, data: Sequence[DataItem]) -> str:
    name = next((item.name for item in data if item.uuid == ours), reference)
    plain = re.sub(r"[^A-Za-z0-9._+=@-]", "_", name)[:200]
    return "/data/" + (plain if plain.strip(".") else "data")

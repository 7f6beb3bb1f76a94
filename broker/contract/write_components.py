"""The parts of a session on the wire: what the client asked for, with what the broker decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from broker.contract import kinds, part_phases
from broker.contract.common import Schedule, StartDurationInstant
from broker.contract.data import Data
from broker.contract.times import format_instant
from broker.contract.wire import to_wire
from broker.contract.write_figures import available, figures, whole_seconds
from broker.contract.write_messages import View
from broker.model import Executable, ExecutableKind, MinMax, Port
from broker.records import SessionRecord
from netprobe.cost import grouped, together

# what the broker says of a part, whatever the client did
_OURS = ("phase", "schedule", "costs", "metrics")
_DATA: TypeAdapter[Data] = TypeAdapter(Data)
_KINDS = {
    ExecutableKind.DOCKER: kinds.DOCKER_CONTAINER,
    ExecutableKind.SINGULARITY: kinds.SINGULARITY_CONTAINER,
    ExecutableKind.NOTEBOOK: kinds.JUPYTER_NOTEBOOK,
}


def executable_document(record: SessionRecord, seen: View) -> dict[str, Any]:
    """Strangers see neither command, entrypoint and environment nor where its ports are reached."""
    assert record.request is not None
    executable = record.request.executable
    asked = _mapping(record.document.get("executable"))
    document = {
        "kind": _KINDS[executable.kind],
        **_common(record, "executables", "executable", executable.name, asked, "/executable", seen),
        "phase": part_phases.executable_phase(record),
    }
    if executable.kind is not ExecutableKind.DOCKER:
        return document | {"location": next(iter(executable.locations), None)}
    return document | _container(record, executable, seen)


def compute_document(record: SessionRecord, seen: View) -> dict[str, Any]:
    """What is offered (or, where nothing is, what was asked), and the volumes."""
    assert record.request is not None
    request, placement = record.request, record.placement
    asked = _mapping(record.document.get("compute"))
    cores = MinMax(placement.cores, placement.cores) if placement else request.cores
    memory = MinMax(placement.memory_gib, placement.memory_gib) if placement else request.memory_gib
    return {
        "kind": kinds.SIMPLE_COMPUTE,
        **_common(record, "compute", "compute", _name(asked), asked, "/compute", seen),
        "phase": part_phases.compute_phase(record),
        "schedule": to_wire(Schedule(available=available(placement))) if placement else None,
        "cores": _range(cores),
        "memory": _range(memory),
        "volumes": [volume_document(record, index, seen) for index in range(len(request.mounts))],
    }


def storage_document(record: SessionRecord, index: int, seen: View) -> dict[str, Any]:
    """The storage at `index` of the request; of an offer, with the size that is held."""
    assert record.request is not None
    item = record.request.storage[index]
    asked = _member(record.document.get("storage"), index)
    size = MinMax(item.size_gib.minimum, item.size_gib.minimum) if record.placement else item.size_gib
    kept = record.results_until if part_phases.is_kept(record, item.uuid) else None
    released = Schedule(releasing=StartDurationInstant(start=format_instant(kept))) if kept else None
    return {
        "kind": kinds.SIMPLE_STORAGE,
        **_common(record, "storage", item.uuid, item.name, asked, f"/storage/{index}", seen),
        "phase": part_phases.storage_phase(record, item.uuid),
        "schedule": to_wire(released) if released else None,
        "size": _range(size),
        "data": [
            record.component_uuid(each.uuid) for each in record.request.data if each.storage == item.uuid
        ],
    }


def data_document(record: SessionRecord, index: int, seen: View) -> dict[str, Any]:
    """The data at `index` as the client described it, with the storage that it goes to."""
    assert record.request is not None
    item = record.request.data[index]
    asked = _member(record.document.get("data"), index)
    kept = to_wire(_DATA.validate_python(asked)) if asked else {}
    if "template" in kept and not seen.full:
        # not a URL before its places are filled, and may carry a signature all the same
        kept["template"] = kept["template"].partition("?")[0]
    moves = record.placement.staging.moves if record.placement else ()
    seconds = together(grouped(move for move in moves if move.key == item.uuid)).p90
    brought = Schedule(preparing=StartDurationInstant(duration=whole_seconds(seconds)))
    return {
        **{name: value for name, value in kept.items() if name not in _OURS},
        **_common(record, "data", item.uuid, item.name, asked, f"/data/{index}", seen),
        "phase": part_phases.data_phase(record, item.uuid),
        "schedule": to_wire(brought) if seconds else None,
        "storage": record.component_uuid(item.storage) if item.storage else None,
    }


def volume_document(record: SessionRecord, index: int, seen: View) -> dict[str, Any]:
    """What is mounted where; it has no life of its own."""
    assert record.request is not None
    mount = record.request.mounts[index]
    asked = _member(_mapping(record.document.get("compute")).get("volumes"), index)
    key, path = f"volume:{mount.path}", f"/compute/volumes/{index}"
    return {
        "kind": kinds.SIMPLE_VOLUME,
        **_common(record, "volumes", key, _name(asked), asked, path, seen),
        "path": mount.path,
        "mode": mount.mode.value,
        "resource": record.component_uuid(mount.resource),
    }


def _container(record: SessionRecord, executable: Executable, seen: View) -> dict[str, Any]:
    secrets = {
        "command": list(executable.command),
        "entrypoint": executable.entrypoint,
        "environment": dict(executable.environment),
    }
    return {
        "image": {
            "locations": list(executable.locations),
            "digest": executable.digest,
            "platform": {"architecture": executable.architecture, "os": executable.os},
        },
        "privileged": executable.privileged,
        **(secrets if seen.full else {}),
        "network": {"ports": [_port(record, port, seen) for port in executable.ports]},
    }


def _port(record: SessionRecord, port: Port, seen: View) -> dict[str, Any]:
    """A published port; its outside is known once the container has started."""
    outside = None
    for each in record.connectors if seen.full else ():
        # TCP and UDP have numbers of their own
        if each.internal_port == port.internal and (each.protocol == "UDP") == (port.protocol == "UDP"):
            outside = {"port": each.port, "addresses": list(each.addresses)}
    return {
        "access": port.access,
        "internal": {"port": port.internal},
        "external": outside,
        "protocol": port.protocol,
        "path": port.path,
    }


def _common(
    record: SessionRecord,
    family: str,
    key: str,
    name: str | None,
    asked: Mapping[str, Any],
    path: str,
    seen: View,
) -> dict[str, Any]:
    """Metadata, costs and metrics of a part; `path` is its place in the request."""
    own, placement = record.component_uuid(key), record.placement
    costs = placement.component_costs.get(key, ()) if placement else ()
    metrics = placement.component_metrics.get(key, ()) if placement else ()
    return {
        "meta": {
            "uuid": own,
            "name": name,
            "url": f"{seen.base}/{family}/{own}",
            "description": _mapping(asked.get("meta")).get("description"),
            "created": format_instant(record.created),
            "modified": format_instant(record.modified),
            "messages": [to_wire(each) for each in seen.about.get(path, ())],
        },
        "costs": [to_wire(each) for each in figures(costs, kinds.MINMAX_COST)],
        "metrics": [to_wire(each) for each in figures(metrics, kinds.MINMAX_METRIC)],
    }


def _name(asked: Mapping[str, Any]) -> str | None:
    name = _mapping(asked.get("meta")).get("name")
    return name if isinstance(name, str) else None


def _range(value: MinMax) -> dict[str, int | None]:
    return {"min": value.minimum, "max": value.maximum}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _member(value: Any, index: int) -> Mapping[str, Any]:
    """What the client said at `index` of a list; nothing where the broker added a part."""
    members: Sequence[Any] = value if isinstance(value, list) else []
    return _mapping(members[index]) if index < len(members) else {}

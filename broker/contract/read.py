"""From documents on the wire to what the broker works with.

Two kinds of trouble are kept apart: a document of the wrong shape raises Malformed (400, for nothing can be
said of what it asks), and a request that is understood but can't be done is a NO with all its reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from broker.catalogues import Catalogue
from broker.contract.codec import Fault, Malformed, pointer
from broker.contract.common import UnknownComponent
from broker.contract.costs import AbstractItem
from broker.contract.names import Names
from broker.contract.offerset import ExecutionRequest
from broker.contract.options import EnumValueUpdate, Update
from broker.contract.read_executable import read_executable
from broker.contract.read_mounts import read_mounts
from broker.contract.read_resources import link_storage, read_compute, read_data, read_storage
from broker.contract.read_schedule import read_limits, read_schedule
from broker.contract.reasons import Reasons
from broker.contract.wire import TAG, quote
from broker.model import Note, Phase, Request

_UPDATE: TypeAdapter[Update] = TypeAdapter(Update)


def check_request(document: Any) -> ExecutionRequest:
    """The request as the wire has it. Raises Malformed with every fault and its path."""
    if not isinstance(document, Mapping):
        raise Malformed(Fault(f"a request is an object, not {_type(document)}", ""))
    try:
        return ExecutionRequest.model_validate(document)
    except ValidationError as error:
        raise _malformed(error) from None


def parse_request(
    document: Any, now: datetime, catalogues: Mapping[str, Catalogue]
) -> tuple[Request | None, list[Note]]:
    """The request, or None; and everything that is to be said of it, with paths.

    Asks the catalogues, and so may block for seconds; call it from a worker thread. `catalogues` are by the
    last part of the kind ("simple-data-resource"). Raises Malformed where `document` has the wrong shape.

    Defaults: 1 core, 1 GiB of memory, 1 hour, a start within 24 hours, storage as large as the data, and
    every data item that no volume mounts read-only at /data/NAME.
    """
    wire = check_request(document)
    reasons = Reasons()
    executable = read_executable(wire.executable, reasons)
    cores, memory = read_compute(wire.compute, reasons)
    used: set[str] = set()
    data_names, storage_names = names = Names("data", used), Names("storage", used)
    storage = read_storage(wire.storage or [], storage_names, reasons)
    found = read_data(wire.data or [], document.get("data") or [], data_names, catalogues, reasons)
    data, storage = link_storage(found, wire.data or [], storage, wire.storage or [], names, reasons)
    if len(data) == len(found):
        mounts = read_mounts(wire.compute, data, names, reasons)
    else:
        # what the volumes say is still worth telling; where data is missing there is nothing to mount it from
        read_mounts(wire.compute, data, names, reasons)
        mounts = []
    when = read_schedule(wire.schedule, now, reasons)
    costs = read_limits([*(wire.costs or [])], "costs", reasons)
    metrics = read_limits([*(wire.metrics or [])], "metrics", reasons)
    for path in _unknown_properties(wire, ()):
        reasons.warn("unknown-property", path, "the contract has no {path}: it was ignored", path=path)
    if reasons.refused or executable is None:
        return None, reasons.notes
    request = Request(
        executable=executable,
        cores=cores,
        memory_gib=memory,
        storage=tuple(storage),
        data=tuple(data),
        mounts=tuple(mounts),
        duration=when.duration,
        earliest_start=when.earliest_start,
        latest_start=when.latest_start,
        cost_limits=costs,
        metric_limits=metrics,
    )
    return request, reasons.notes


def read_update(document: Any) -> Phase:
    """The phase that an update asks for. Raises Malformed for every update but one of the phase."""
    if not isinstance(document, Mapping):
        raise Malformed(Fault(f"an update is an object, not {_type(document)}", ""))
    try:
        update = _UPDATE.validate_python(document)
    except ValidationError as error:
        raise _malformed(error) from None
    if update.path not in ("phase", "/phase"):
        raise Malformed(Fault(f"{quote(update.path)} can't be updated: /phase can", "/path"))
    if not isinstance(update, EnumValueUpdate):
        raise Malformed(Fault("the phase is updated by uri:enum-value-update", "/kind"))
    try:
        return Phase(update.value)
    except ValueError:
        raise Malformed(Fault(f"{quote(update.value)} is no phase of a session", "/value")) from None


def _malformed(error: ValidationError) -> Malformed:
    faults = []
    for detail in error.errors(include_url=False, include_context=False)[:20]:
        parts = [part for part in detail["loc"] if not str(part).startswith((TAG, "uri:"))]
        message = detail["msg"]
        if detail["type"] == "union_tag_invalid":
            parts.append("kind")
            message = f"{quote(detail['input']['kind'])} is none of the contract's kinds here"
        elif detail["type"] == "union_tag_not_found":
            parts.append("kind")
            message = "required, and missing"
        elif detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
            message = f"expected an object, got {_type(detail['input'])}"
        elif detail["type"] == "list_type":
            message = f"expected a list, got {_type(detail['input'])}"
        elif detail["type"] != "missing":
            message = f"{message[:1].lower()}{message[1:]}, got {_type(detail['input'])}"
        else:
            message = "required, and missing"
        faults.append(Fault(message, pointer(parts)))
    return Malformed(*faults)


def _type(value: Any) -> str:
    """What a person calls a JSON value; short scalars are shown."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return quote(value) if isinstance(value, str) else quote(value).strip("'")


def _unknown_properties(value: Any, path: tuple[str | int, ...]) -> list[str]:
    """JSON Pointers of what the models don't know, ten at most: a misspelt name is easy to overlook."""
    found: list[str] = []
    if isinstance(value, BaseModel):
        # what an unknown kind holds is unknown, of course
        if type(value) not in (UnknownComponent, AbstractItem):
            found += [pointer((*path, name)) for name in value.model_extra or {}]
        for name in type(value).model_fields:
            found += _unknown_properties(getattr(value, name), (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += _unknown_properties(member, (*path, index))
    return found[:10]

"""From compute, storage, data and volumes on the wire to plain items that refer to each other by uuid."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from broker.catalogues import Catalogue, Resolved
from broker.contract import kinds
from broker.contract.common import UnknownComponent
from broker.contract.compute import Compute, IntegerRange, SimpleCompute
from broker.contract.data import Data, DataResource, IvoaData, RucioData, S3Data, SimpleData, SkaoData
from broker.contract.names import Names
from broker.contract.reasons import Reasons
from broker.contract.storage import SimpleStorage, Storage
from broker.contract.wire import quote
from broker.model import DataItem, MinMax, Note, StorageItem

DATA_LIMIT = 1000  # resources of one request: each may cost the catalogue a question over the network
STORAGE_LIMIT = 1000
# how long the servers of a request's data are asked, all together, lest one caller make all others wait
ASK_SECONDS = 30.0
_GIB = 2**30


def read_compute(wire: Compute | None, reasons: Reasons) -> tuple[MinMax, MinMax]:
    """Cores, and GiB of memory: one of each where nothing was asked."""
    if isinstance(wire, UnknownComponent):
        reasons.foreign_kind("compute", wire.kind, "/compute", "simple-compute-resource")
    asked = wire if isinstance(wire, SimpleCompute) else None
    cores = read_range(asked.cores if asked else None, "/compute/cores", "cores", reasons)
    memory = read_range(asked.memory if asked else None, "/compute/memory", "GiB of memory", reasons)
    return cores, memory


def read_range(wire: IntegerRange | None, path: str, what: str, reasons: Reasons) -> MinMax:
    """A range of at least 1; `what` names the unit."""
    low = wire.min if wire and wire.min is not None else 1
    high = wire.max if wire else None
    for bound, value in (("min", low), ("max", high)):
        if value is not None and value < 1:
            template = "{value} {what} can't be had: at least 1 can"
            reasons.no("invalid-value", f"{path}/{bound}", template, value=value, what=what)
            return MinMax(1)
    if high is not None and low > high:
        template = "the minimum of {min} {what} is above the maximum of {max}"
        reasons.no("invalid-value", f"{path}/min", template, min=low, max=high, what=what)
        return MinMax(1)
    return MinMax(low, high)


def read_storage(wire: Sequence[Storage], names: Names, reasons: Reasons) -> list[StorageItem]:
    items: list[StorageItem] = []
    if len(wire) > STORAGE_LIMIT:
        template = "{count} storage resources are more than the {limit} that one request may name"
        reasons.no("resource-limit", "/storage", template, count=len(wire), limit=STORAGE_LIMIT)
        wire = wire[:STORAGE_LIMIT]
    for index, storage in enumerate(wire):
        path = f"/storage/{index}"
        ours, name = names.add(storage, f"storage-{index + 1}", path, reasons)
        if not isinstance(storage, SimpleStorage):
            reasons.foreign_kind("storage", storage.kind, path, "simple-storage-resource")
        asked = storage.size if isinstance(storage, SimpleStorage) else None
        size = read_range(asked, f"{path}/size", "GiB of storage", reasons)
        items.append(StorageItem(uuid=ours, name=name, size_gib=size))
    return items


def read_data(
    wire: Sequence[Data],
    documents: Sequence[Mapping[str, Any]],
    names: Names,
    catalogues: Mapping[str, Catalogue],
    reasons: Reasons,
) -> list[DataItem | None]:
    """Every data resource resolved by the catalogue of its kind, in order; None where that failed."""
    if len(wire) > DATA_LIMIT:
        template = "{count} data resources are more than the {limit} that one request may name"
        reasons.no("resource-limit", "/data", template, count=len(wire), limit=DATA_LIMIT)
        return [None] * len(wire)
    questions: list[tuple[Catalogue, str, str, Mapping[str, Any], str] | None] = []
    for index, data in enumerate(wire):
        path = f"/data/{index}"
        ours, name = names.add(data, _data_name(data, index), path, reasons)
        catalogue = catalogues.get(kinds.short(data.kind))
        if not isinstance(data, DataResource):
            reasons.foreign_kind("data", data.kind, path, "simple-data-resource")
            questions.append(None)
        elif catalogue is None:
            template = "no catalogue for data of kind {kind} is installed in this broker"
            reasons.no("no-catalogue", f"{path}/kind", template, kind=kinds.short(data.kind))
            questions.append(None)
        else:
            questions.append((catalogue, ours, name, documents[index], path))

    end = time.monotonic() + ASK_SECONDS

    def ask(question: tuple[Catalogue, str, str, Mapping[str, Any], str] | None) -> Resolved | None:
        if question is None:
            return None
        catalogue, ours, name, resource, path = question
        if time.monotonic() >= end:
            text = "{name} was not looked for: the servers of the data before it took {seconds} s already"
            values = {"name": name, "seconds": f"{ASK_SECONDS:g}"}
            return Resolved(None, (Note("data-too-slow", text, values, path=path),))
        found = catalogue.resolve(ours, name, resource, path)
        if found.item is None:
            return found
        kind = kinds.short(str(resource.get("kind")))
        return replace(found, item=replace(found.item, uuid=ours, name=name, kind=kind))

    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolve") as pool:
        answers = list(pool.map(ask, questions))
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        reasons.notes.extend(answer.notes)
        if answer.item is None:
            reasons.refused = True
            if not answer.notes:
                reasons.no("resource-not-found", f"/data/{index}", "this data could not be found")
    return [answer.item if answer else None for answer in answers]


def link_storage(
    data: Sequence[DataItem | None],
    wire_data: Sequence[Data],
    storage: list[StorageItem],
    wire_storage: Sequence[Storage],
    names: tuple[Names, Names],
    reasons: Reasons,
) -> tuple[list[DataItem], list[StorageItem]]:
    """Data put into storage: where the data or the storage says so, else into storage made for it.

    `names` are those of data and of storage. Storage whose size was left open grows to hold its data.
    """
    data_names, storage_names = names
    goes_to: dict[str, str] = {}
    for index, wire in enumerate(wire_storage[: len(storage)]):
        for place, reference in enumerate(wire.data or [] if isinstance(wire, SimpleStorage) else []):
            path = f"/storage/{index}/data/{place}"
            found = data_names.find(reference)
            if found is None:
                template = "there is no data resource {name} in the request"
                reasons.no("resource-not-found", path, template, name=quote(reference))
            elif goes_to.setdefault(found, storage[index].uuid) != storage[index].uuid:
                template = "{name} is put into two storage resources: another one lists it, too"
                reasons.no("invalid-value", path, template, name=quote(reference))
    linked: list[DataItem] = []
    made: list[StorageItem] = []
    for index, (item, resource) in enumerate(zip(data, wire_data, strict=True)):
        wanted = resource.storage if isinstance(resource, DataResource) else None
        target = storage_names.find(wanted) if wanted is not None else None
        if wanted is not None and target is None:
            template = "there is no storage resource {name} in the request"
            reasons.no("resource-not-found", f"/data/{index}/storage", template, name=quote(wanted))
        if item is None:
            continue
        listed = goes_to.get(item.uuid)
        if target is not None and listed is not None and target != listed:
            template = "{name} is put into two storage resources: it names one, and another lists it"
            reasons.no("invalid-value", f"/data/{index}/storage", template, name=quote(item.name))
        target = target or listed
        if target is None:
            size = max(1, math.ceil((item.size_bytes or 0) / _GIB))
            made.append(StorageItem(str(uuid.uuid4()), f"Storage for {item.name}", MinMax(size, size)))
            target = made[-1].uuid
        linked.append(replace(item, storage=target))
    return linked, [*(_grown(item, linked, index, reasons) for index, item in enumerate(storage)), *made]


def _grown(storage: StorageItem, data: Sequence[DataItem], index: int, reasons: Reasons) -> StorageItem:
    size_bytes = sum(item.size_bytes or 0 for item in data if item.storage == storage.uuid)
    need = math.ceil(size_bytes / _GIB)
    low, high = storage.size_gib.minimum, storage.size_gib.maximum
    if need <= low:
        return storage
    if high is not None and high < need:
        template = "the data that goes here needs {need} GiB, and at most {max} GiB were asked for"
        reasons.no("resource-limit", f"/storage/{index}/size/max", template, need=need, max=high)
        return storage
    return replace(storage, size_gib=MinMax(need, high))


def _data_name(data: Data, index: int) -> str:
    """What to call data that has no name: the last part of its address."""
    address: str | None = None
    if isinstance(data, SimpleData):
        address = (data.location or "").partition("?")[0]
    elif isinstance(data, S3Data):
        address = data.object or data.bucket
    elif isinstance(data, RucioData):
        address = data.rucio.object if data.rucio else None
    elif isinstance(data, IvoaData):
        address = data.ivoa.ivoid if data.ivoa else None
    elif isinstance(data, SkaoData):
        address = data.skao.objectname if data.skao else None
    return (address or "").rstrip("/").rpartition("/")[2] or f"data-{index + 1}"

"""Requests to read, and what the tests ask of what was read."""

from broker.catalogues import Resolved
from broker.contract import kinds
from broker.contract.read import parse_request
from broker.model import DataItem, Level, Replica
from tests.broker.conftest import NOW, make_document

VOLUME = kinds.SIMPLE_VOLUME


class Shelf:
    """A catalogue of sizes by location; it has no notes for what isn't there."""

    kinds = ("simple-data-resource",)

    def __init__(self, **sizes):
        self._sizes = sizes

    def resolve(self, uuid, name, resource, path):
        location = resource.get("location")
        if location not in self._sizes:
            return Resolved(None)
        return Resolved(DataItem(uuid, name, self._sizes[location], (Replica(location, "perth"),)))


def parse(document, **sizes):
    shelf = Shelf(**({"small": 10, "large": 5 * 2**30} | sizes))
    return parse_request(document, NOW, {"simple-data-resource": shelf})


def reasons(document, level=Level.ERROR):
    """(kind, path) of the notes of one level; each must have its whole text."""
    request, notes = parse(document)
    assert (request is None) == any(note.level is Level.ERROR for note in notes)
    for note in notes:
        assert note.text
        assert "{" not in note.text
    return {(note.kind, note.path) for note in notes if note.level is level}


def data(location, name=None, **more):
    meta = {"meta": {"name": name}} if name else {}
    return {"kind": kinds.SIMPLE_DATA, "location": location} | meta | more


def storage(name, low=None, high=None, **more):
    size = {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    return {"kind": kinds.SIMPLE_STORAGE, "meta": {"name": name}, "size": size} | more


def volume(resource, path=None, **more):
    return {"kind": VOLUME, "resource": resource} | ({"path": path} if path is not None else {}) | more


def with_volumes(*volumes, **more):
    document = make_document(**more)
    document["compute"]["volumes"] = list(volumes)
    return document

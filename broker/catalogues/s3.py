"""Data in S3 storage: `S3-data-resource`. Objects that everybody may read; signed access is not built."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from broker.catalogues import Resolved
from broker.catalogues.fields import note, refused, text, unknown_size
from broker.catalogues.heads import head
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica
from federation.about import About
from federation.sites import Federation

# path-style addressing, which every S3 service understands
DEFAULT_TEMPLATE = "{endpoint}/{bucket}/{object}"
_PLACE = re.compile(r"\$?\{(\w*)\}")
_PLACES = ("endpoint", "bucket", "object")
# Amazon's rules and those of Ceph and MinIO, which allow more
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)


class S3Catalogue:
    """The template and the object give a URL, whose host says which site holds it.

    A template has the places {endpoint}, {bucket} and {object}; {endpoint} elsewhere than at its beginning is
    the endpoint's host alone.
    """

    ABOUT = About(
        does="Objects, prefixes and whole buckets of S3 storage, signed where it has a key.",
        cannot="Knows of one copy: the one that the request names.",
    )

    kinds: Sequence[str] = ("S3-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._federation, self._online = federation, online

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        notes: list[Note] = []
        endpoint = _endpoint(resource, name, path, notes)
        bucket = _bucket(resource, name, path, notes)
        template = text(resource, "template") or DEFAULT_TEMPLATE
        key = text(resource, "object")
        _check_template(template, key, name, path, notes)
        if endpoint is None or bucket is None or refused(notes):
            return Resolved(None, tuple(notes))
        if key is None:
            return self._whole_bucket(uuid, name, endpoint, bucket, path)
        url = _filled(template, endpoint, bucket, key)
        wrong = wrong_with(url)
        if wrong is not None:
            words = "the URL that the template makes for {name} {wrong}"
            return Resolved(None, (note("data-location", words, f"{path}/template", name=name, wrong=wrong),))
        size, more = self._size(name, url, path)
        if refused(more):
            return Resolved(None, tuple(more))
        site = self._federation.site_of_url(url)
        replica = Replica(url, site.id if site else None)
        return Resolved(DataItem(uuid, name, size, (replica,), endpoint=endpoint), tuple(more))

    def _whole_bucket(self, uuid: str, name: str, endpoint: str, bucket: str, path: str) -> Resolved:
        if self._online:
            template = (
                "{name} is the whole bucket {bucket}: only single objects can be brought here, so name one"
            )
            return Resolved(None, (note("data-type", template, f"{path}/object", name=name, bucket=bucket),))
        site = self._federation.site_of_url(endpoint)
        replica = Replica(f"s3://{bucket}", site.id if site else None)
        item = DataItem(uuid, name, None, (replica,), endpoint=endpoint)
        return Resolved(item, (unknown_size(name, path),))

    def _size(self, name: str, url: str, path: str) -> tuple[int | None, list[Note]]:
        where = f"{path}/object"
        if not self._online:
            return None, [unknown_size(name, where)]
        answer = head(self._federation, url)
        if answer.status in (401, 403):
            template = (
                "{name} is not there for everybody to read, and signed access is not built yet: {error}"
            )
            return None, [note("data-not-public", template, where, name=name, error=str(answer.error))]
        if answer.missing:
            template = "{name} can't be read: {error}"
            return None, [note("data-not-found", template, where, name=name, error=str(answer.error))]
        if answer.size_bytes is None:
            template = "the size of {name} is not known: {error}"
            error = answer.error or "the server doesn't say"
            return None, [note("data-size", template, where, Level.WARN, name=name, error=error)]
        return answer.size_bytes, []


def _endpoint(resource: Mapping[str, Any], name: str, path: str, notes: list[Note]) -> str | None:
    endpoint, where = text(resource, "endpoint"), f"{path}/endpoint"
    if endpoint is None:
        template = "the endpoint of {name} is required: the URL of its S3 service"
        notes.append(note("missing-value", template, where, name=name))
        return None
    # people write a bare host, as S3's own tools let them
    url = endpoint if "://" in endpoint else f"https://{endpoint}"
    wrong = wrong_with(url)
    if wrong is not None:
        notes.append(note("data-location", "the endpoint of {name} {wrong}", where, name=name, wrong=wrong))
        return None
    return url.rstrip("/")


def _bucket(resource: Mapping[str, Any], name: str, path: str, notes: list[Note]) -> str | None:
    bucket, where = text(resource, "bucket"), f"{path}/bucket"
    if bucket is None:
        notes.append(note("missing-value", "the bucket of {name} is required", where, name=name))
    elif not _BUCKET.fullmatch(bucket):
        template = "{bucket} is no name of a bucket: letters, digits, '.', '_' and '-' make one"
        notes.append(note("invalid-value", template, where, bucket=repr(bucket[:80])))
        return None
    return bucket


def _check_template(template: str, key: str | None, name: str, path: str, notes: list[Note]) -> None:
    where = f"{path}/template"
    places = _PLACE.findall(template)
    unknown = sorted(set(places) - set(_PLACES))
    if unknown or set("{}") & set(_PLACE.sub("", template)):
        words = "the template of {name} may hold {known}, and no other braces"
        known = ", ".join(f"{{{place}}}" for place in _PLACES)
        notes.append(note("invalid-value", words, where, name=name, known=known))
    elif key is not None and "object" not in places:
        words = "the template of {name} has no place for the object: {example} would do"
        notes.append(note("invalid-value", words, where, name=name, example=DEFAULT_TEMPLATE))


def _filled(template: str, endpoint: str, bucket: str, key: str) -> str:
    def value(place: re.Match[str]) -> str:
        if place[1] == "endpoint":
            return endpoint if place.start() == 0 else urlsplit(endpoint).netloc
        # the name of an object may hold anything; its slashes stay
        return bucket if place[1] == "bucket" else quote(key, safe="/~")

    return _PLACE.sub(value, template)

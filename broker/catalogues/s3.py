"""Data in S3 storage: `S3-data-resource`. An object; or a prefix that ends in "/" or a whole bucket, which
are all objects in there.

Where [catalogues.s3] has an access key for it, requests are signed, and the URLs that are moved are signed
just before. Else it is what everybody may read.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from broker.catalogues import CatalogueError, File, Resolved
from broker.catalogues.fields import note, refused, text, unknown_size
from broker.catalogues.heads import head
from broker.catalogues.s3_options import PATH, VIRTUAL, chosen, credentials
from broker.catalogues.s3_store import Bucket, StoreError, below, clash, size_of
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica
from federation.about import About
from federation.sites import Federation, Site

# path-style addressing, which every S3 service understands
DEFAULT_TEMPLATE = "{endpoint}/{bucket}/{object}"
# a catalogue may take 10 s to resolve, and a minute for the files
RESOLVE_SECONDS = 8.0
FILES_SECONDS = 55.0
# a signature is good for twice what may be waited for
SPARE = 2
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
        self._credentials = credentials(federation)
        for each in self._credentials if online else ():
            # whoever starts the broker hears of a key that isn't there; it may still come
            with contextlib.suppress(CatalogueError):
                each.key()

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        notes: list[Note] = []
        endpoint = _endpoint(resource, name, path, notes)
        bucket = _bucket(resource, name, path, notes)
        template = text(resource, "template")
        key = text(resource, "object")
        _check_template(template or DEFAULT_TEMPLATE, key, name, path, notes)
        if endpoint is None or bucket is None or refused(notes):
            return Resolved(None, tuple(notes))
        place = self._bucket(endpoint, bucket, template)
        if key is None or key.endswith("/"):
            return self._folder(uuid, name, endpoint, place, key or "", path)
        url = _filled(template, endpoint, bucket, key) if template else None
        if url is None:
            assert place is not None
            url = place.url(key)
        wrong = wrong_with(url)
        if wrong is not None:
            words = "the URL that the template makes for {name} {wrong}"
            return Resolved(None, (note("data-location", words, f"{path}/template", name=name, wrong=wrong),))
        signs = place is not None and place.credential is not None
        if signs and place is not None and self._online:
            try:
                size = size_of(self._federation, place, key, time.monotonic() + RESOLVE_SECONDS)
            except CatalogueError as error:
                return Resolved(None, (_failed(name, error, f"{path}/object"),))
            item = DataItem(uuid, name, size, (self._replica(url),), unpacked=True, endpoint=endpoint)
            return Resolved(item)
        length, more = self._size(name, url, path)
        if refused(more):
            return Resolved(None, tuple(more))
        return Resolved(
            DataItem(uuid, name, length, (self._replica(url),), unpacked=signs, endpoint=endpoint),
            tuple(more),
        )

    def files(self, item: DataItem, site: Site, seconds: float) -> Sequence[File]:
        """See `broker.catalogues.Unpacks`."""
        url = item.replicas[0].url
        place = self._place_of(url, item.endpoint or "", site)
        key = place.key_of(url) or ""
        sign = place.signer(round(SPARE * seconds))
        if key and not key.endswith("/"):
            return [File("", item.size_bytes, (self._replica(sign(key)),))]
        found = below(self._federation, place, key, time.monotonic() + FILES_SECONDS)
        paths = [each.key.removeprefix(key) for each in found]
        if clash(paths) is not None:
            raise CatalogueError(f"{url} holds objects that can't lie in one folder: {clash(paths)!r}")
        return [
            File(path, each.size_bytes, (self._replica(sign(each.key)),))
            for path, each in zip(paths, found, strict=True)
        ]

    def _bucket(self, endpoint: str, bucket: str, template: str | None) -> Bucket | None:
        """None where the template is neither of the two that S3 has."""
        credential = chosen(self._credentials, endpoint, bucket)
        if template is None:
            return Bucket(endpoint, bucket, credential.addressing if credential else PATH, credential)
        for addressing in (PATH, VIRTUAL):
            one = Bucket(endpoint, bucket, addressing, credential)
            if _filled(template, endpoint, bucket, "a") == one.url("a"):
                return one
        return None

    def _place_of(self, url: str, endpoint: str, site: Site) -> Bucket:
        """The bucket that an item's URL is of, with the key for moving to `site`."""
        if url.startswith(f"{endpoint}/"):
            name, addressing = url.removeprefix(f"{endpoint}/").partition("/")[0], PATH
        else:
            name = urlsplit(url).netloc.removesuffix(f".{urlsplit(endpoint).netloc}")
            addressing = VIRTUAL
        return Bucket(endpoint, name, addressing, chosen(self._credentials, endpoint, name, site.id))

    def _folder(
        self, uuid: str, name: str, endpoint: str, place: Bucket | None, prefix: str, path: str
    ) -> Resolved:
        where = f"{path}/object"
        if place is None:
            words = "{name} is a folder of a bucket, which this template can't list: {example} would do"
            return Resolved(
                None, (note("data-type", words, f"{path}/template", name=name, example=DEFAULT_TEMPLATE),)
            )
        # the end says that it is a folder
        replicas = (self._replica(place.url(prefix) if prefix else f"{place.url().rstrip('/')}/"),)
        if not self._online:
            item = DataItem(uuid, name, None, replicas, unpacked=True, endpoint=endpoint)
            return Resolved(item, (unknown_size(name, path),))
        try:
            found = below(self._federation, place, prefix, time.monotonic() + RESOLVE_SECONDS)
        except CatalogueError as error:
            return Resolved(None, (_failed(name, error, where),))
        if not found:
            words = "{name} is empty: no object of {bucket} begins with {prefix}"
            values = {"name": name, "bucket": place.name, "prefix": repr(prefix[:80])}
            return Resolved(None, (Note("data-not-found", words, values, path=where),))
        wrong = clash([each.key.removeprefix(prefix) for each in found])
        if wrong is not None:
            words = "{name} holds objects that can't lie in one folder: {object}"
            return Resolved(None, (note("data-type", words, where, name=name, object=repr(wrong[:80])),))
        size = sum(each.size_bytes for each in found)
        item = DataItem(uuid, name, size, replicas, files=len(found), unpacked=True, endpoint=endpoint)
        return Resolved(item)

    def _replica(self, url: str) -> Replica:
        site = self._federation.site_of_url(url)
        return Replica(url, site.id if site else None)

    def _size(self, name: str, url: str, path: str) -> tuple[int | None, list[Note]]:
        where = f"{path}/object"
        if not self._online:
            return None, [unknown_size(name, where)]
        answer = head(self._federation, url, RESOLVE_SECONDS)
        if answer.status in (401, 403):
            template = "{name} is not there for everybody to read, and this broker has no key for it: {error}"
            return None, [note("data-not-public", template, where, name=name, error=str(answer.error))]
        if answer.missing:
            template = "{name} can't be read: {error}"
            return None, [note("data-not-found", template, where, name=name, error=str(answer.error))]
        if answer.size_bytes is None:
            template = "the size of {name} is not known: {error}"
            error = answer.error or "the server doesn't say"
            return None, [note("data-size", template, where, Level.WARN, name=name, error=error)]
        return answer.size_bytes, []


def _failed(name: str, error: CatalogueError, where: str) -> Note:
    kind = error.kind if isinstance(error, StoreError) else "catalogue-failed"
    return Note(kind, "{name} can't be had: {error}", {"name": name, "error": str(error)}, path=where)


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

"""Data in Rucio: `rucio-data-resource`. A file, a dataset or a container; Rucio says how much, and where."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from broker.catalogues import MOST_FILES, Brought, CatalogueError, File, Resolved, StagingRefused
from broker.catalogues import rucio_answers as answers
from broker.catalogues import rucio_rules as rules
from broker.catalogues.fields import block, note, refused, text, unknown_size
from broker.catalogues.rucio_client import NotThereError, Rucio
from broker.catalogues.rucio_files import did_of, files_of
from broker.catalogues.rucio_options import rucio_servers
from broker.catalogues.rucio_placement import Whereabouts, by_file, counted
from broker.catalogues.rucio_replicas import incomplete, placed, said
from broker.catalogues.rucio_rules import targets
from broker.catalogues.rucio_stores import Stores
from broker.catalogues.rucio_tokens import RucioError
from broker.catalogues.urls import wrong_with
from broker.model import DataItem, Level, Note, Replica, Target
from federation.about import About
from federation.sites import Federation, Site

# a catalogue may take 10 s to resolve, 2 of which a connection may take, and a minute for the files
RESOLVE_SECONDS = 8.0
FILES_SECONDS = 55.0
# what a request may call it
TYPES = (answers.FILE, answers.DATASET, answers.CONTAINER)


class RucioCatalogue:
    """Rucio is asked at its servers in [catalogues.rucio]; the resource's endpoint chooses between several.

    Where nothing may be fetched anyway, the data is taken to be somewhere.
    """

    ABOUT = About(
        does="Files, datasets and containers of a Rucio, with all their replicas.",
        cannot="Needs an account there, and copies that HTTP can read.",
    )

    kinds: Sequence[str] = ("rucio-data-resource",)

    def __init__(self, federation: Federation, online: bool) -> None:
        self._online = online
        self._servers: dict[str, tuple[Rucio, Stores]] = {}
        for server in rucio_servers(federation):
            rucio = Rucio(server)
            self._servers[server.url] = rucio, Stores(rucio, federation)

    @property
    def is_there(self) -> bool:
        """Whether there is a Rucio to ask."""
        return self._online and bool(self._servers)

    def resolve(self, uuid: str, name: str, resource: Mapping[str, Any], path: str) -> Resolved:
        rucio, where = block(resource, "rucio"), f"{path}/rucio"
        notes: list[Note] = []
        scope, key = text(rucio, "scope"), text(rucio, "object")
        for field, value in (("scope", scope), ("object", key)):
            if value is None:
                template = "the {field} of {name} is required: Rucio knows data by scope and object"
                notes.append(note("missing-value", template, f"{where}/{field}", field=field, name=name))
        endpoint = text(rucio, "endpoint")
        wrong = wrong_with(endpoint) if endpoint is not None else None
        if wrong is not None:
            template = "the endpoint of {name} {wrong}"
            notes.append(note("data-location", template, f"{where}/endpoint", name=name, wrong=wrong))
        kind = rucio.get("type")
        if kind not in (None, *TYPES):
            template = "{name} is a {type}: expected {known}"
            values = {"name": name, "type": str(kind), "known": ", ".join(TYPES)}
            notes.append(Note("data-type", template, values, path=f"{where}/type"))
        if self._online and not self._servers and not refused(notes):
            template = (
                "{name} is in Rucio, and this broker has no Rucio service to ask where its replicas are: "
                "name them in a skao-data-resource, or one URL in a simple-data-resource"
            )
            notes.append(note("no-catalogue", template, where, name=name))
        if scope is None or key is None or refused(notes):
            return Resolved(None, tuple(notes))
        if not self._online:
            replica = Replica(f"rucio://{quote(scope, safe='')}/{quote(key)}", None)
            item = DataItem(uuid, name, None, (replica,), endpoint=endpoint, namespace=scope)
            return Resolved(item, (*notes, unknown_size(name, where)))
        return self.find(uuid, name, scope, key, endpoint, kind, where)

    def find(
        self, uuid: str, name: str, scope: str, key: str, endpoint: str | None, kind: str | None, where: str
    ) -> Resolved:
        """The item that Rucio knows as `scope`:`key`. `kind`: what the request takes it for; `where`: the
        part of the request that names it. There must be a Rucio to ask."""
        server = self._server(endpoint)
        if server is None:
            template = "{name} is in the Rucio at {endpoint}: this broker asks {known} alone"
            known = ", ".join(self._servers)
            at = f"{where}/endpoint"
            values = {"name": name, "endpoint": str(endpoint), "known": known}
            return Resolved(None, (Note("no-catalogue", template, values, path=at),))
        rucio, stores = server
        until = time.monotonic() + RESOLVE_SECONDS
        try:
            did = rucio.did(scope, key, until)
            found = counted(rucio, stores, did, until)
            if found.bundles is None and not found.whole() and found.files <= MOST_FILES:
                # who has which of the files decides
                found = by_file(rucio, stores, did, until)
            staging = rucio.server.staging
            storages = stores.named((each.rse for each in staging), until)
        except NotThereError as error:
            template = "{name} is not in Rucio: {error}"
            return Resolved(None, (note("data-not-found", template, where, name=name, error=str(error)),))
        except RucioError as error:
            template = "where {name} is can't be found out now: {error}"
            return Resolved(None, (note("catalogue-failed", template, where, name=name, error=str(error)),))
        notes = [*_wrong_with(found, name, kind, where), *said(found, name, where)]
        if refused(notes):
            return Resolved(None, tuple(notes))
        replicas, parts, more = placed(found, name, where)
        notes += more
        brought, more = targets(found, staging, storages, name, where)
        notes += more
        if refused(notes):
            return Resolved(None, tuple(notes))
        item = DataItem(
            uuid,
            name,
            found.size_bytes,
            replicas,
            files=found.files,
            unpacked=True,
            parts=parts,
            endpoint=rucio.server.url,
            namespace=scope,
            targets=brought,
        )
        return Resolved(item, tuple(notes))

    def files(self, item: DataItem, site: Site, seconds: float = 0.0) -> Sequence[File]:
        """See `broker.catalogues.Unpacks`. `seconds`: how long URLs that Rucio signs must be good for."""
        rucio, stores, did = self._known(item)
        target, until = item.target(site.id), time.monotonic() + FILES_SECONDS
        first = target.rse if target else None
        mounts = (each.path for each in rucio.server.staging if each.site == site.id and each.rse == first)
        try:
            return files_of(rucio, stores, *did, until, seconds, first, next(mounts, None))
        except RucioError as error:
            raise CatalogueError(str(error)) from None

    def begin(self, item: DataItem, target: Target, session: str, seconds: float) -> None:
        """See `broker.catalogues.Stages`."""
        rucio, _, did = self._known(item)
        rules.begin(rucio, did, target, session, seconds)

    def look(self, item: DataItem, target: Target, session: str) -> Brought:
        """See `broker.catalogues.Stages`."""
        return rules.look(*self._known(item), target, session)

    def end(self, item: DataItem, target: Target, session: str) -> None:
        """See `broker.catalogues.Stages`."""
        rucio, _, did = self._known(item)
        rules.end(rucio, did, target, session)

    def _known(self, item: DataItem) -> tuple[Rucio, Stores, tuple[str, str]]:
        """Where an item of ours is asked for, and as what. Raises StagingRefused where nobody is left to
        ask."""
        server = self._server(item.endpoint)
        did = did_of(item.replicas[0].url) if item.replicas else None
        if server is None or did is None:
            raise StagingRefused(f"this broker asks the Rucio at {item.endpoint} no more")
        return *server, did

    def _server(self, endpoint: str | None) -> tuple[Rucio, Stores] | None:
        """The one at `endpoint`, or the first where none is named."""
        if endpoint is None:
            return next(iter(self._servers.values()), None)
        return self._servers.get(endpoint.rstrip("/"))


def _wrong_with(found: Whereabouts, name: str, kind: str | None, where: str) -> list[Note]:
    notes = []
    if kind is not None and kind != found.type:
        template = "{name} is said to be a {said}: Rucio knows it as a {type}, which counts"
        values = {"name": name, "said": kind, "type": found.type}
        notes.append(note("data-type", template, f"{where}/type", Level.WARN, **values))
    if found.files == 0:
        template = "{name} is {did}, a {type} without any file"
        values = {"name": name, "did": found.did, "type": found.type}
        notes.append(Note("data-not-found", template, values, path=where))
    elif found.files > MOST_FILES:
        template = "{name} has {files} files: at most {limit} can be brought, so name less of it"
        values = {"name": name, "files": str(found.files), "limit": str(MOST_FILES)}
        notes.append(Note("resource-limit", template, values, path=where))
    else:
        notes += incomplete(found, name, where)
    return notes

"""The files of a data identifier with their URLs, as they can be fetched now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from broker.catalogues import MOST_FILES, CatalogueError, File
from broker.catalogues import rucio_answers as answers
from broker.catalogues.rucio_client import Rucio
from broker.catalogues.rucio_placement import listed_files
from broker.catalogues.rucio_stores import Store, Stores, fetchable
from broker.catalogues.urls import wrong_with
from broker.model import Replica

# the strongest first, with their hexadecimal digits
CHECKSUMS = (("md5", 32), ("adler32", 8))


def place_url(store: Store, scope: str, name: str) -> str:
    """Where a whole identifier lies, for people and policies: the storage's own URL, and what is in there."""
    return f"{store.door}#{quote(scope, safe='')}:{quote(name)}"


def did_of(url: str) -> tuple[str, str] | None:
    """The scope and the name that `place_url` has written into a URL."""
    scope, colon, name = urlsplit(url).fragment.partition(":")
    return (unquote(scope), unquote(name)) if colon and scope and name else None


def files_of(
    rucio: Rucio,
    stores: Stores,
    scope: str,
    name: str,
    until: float,
    seconds: float = 0.0,
    first: str | None = None,
    mounted: Path | None = None,
) -> list[File]:
    """All of them, each with all copies that can be fetched, by URLs that are good for `seconds`; where one
    is at the storage element `first`, that one alone, with its path below `mounted`. Raises RucioError, and
    CatalogueError where one has none."""
    did = rucio.did(scope, name, until)
    listed = listed_files(rucio, did, until)
    if len(listed) > MOST_FILES:
        raise CatalogueError(f"{scope}:{name} has {len(listed)} files: at most {MOST_FILES} can be brought")
    found = {(each.scope, each.name): each for each in rucio.replicas(scope, name, until, seconds)}
    known = stores.named({copy.rse for each in found.values() for copy in each.pfns.values()}, until)
    several = len({each.scope for each in listed}) > 1
    files, without = [], []
    for each in listed:
        replicas = found.get((each.scope, each.name))
        copies = () if replicas is None else _copies(replicas, known)
        if replicas is None or not copies:
            without.append(each.name)
            continue
        size = each.bytes if replicas.bytes is None else replicas.bytes
        if size is None:
            raise CatalogueError(f"{rucio.where} doesn't say how large {each.scope}:{each.name} is")
        here = tuple(_seen(one, known[one.rse], mounted) for one in copies if one.rse and one.rse == first)
        copies = here or copies
        path = f"{each.scope}/{each.name}" if several else each.name
        files.append(File("" if did.type == answers.FILE else path, size, copies, _checksum(replicas)))
    if without:
        raise CatalogueError(
            f"{rucio.where}: {len(without)} of the {len(listed)} files of {scope}:{name} have no copy that "
            f"can be fetched over http now, {without[0]} among them"
        )
    return files


def _seen(replica: Replica, store: Store, mounted: Path | None) -> Replica:
    """The replica with its path where its storage is mounted: the same below the storage's prefix."""
    door = None if store.door is None else f"{store.door.rstrip('/')}/"
    if mounted is None or door is None or not replica.url.startswith(door):
        return replica
    below = PurePosixPath(replica.url.removeprefix(door).partition("?")[0].lstrip("/"))
    # whatever a catalogue says, nothing but what is mounted there
    return replica if ".." in below.parts else replace(replica, mounted=str(mounted / below))


@dataclass(frozen=True)
class _Found:
    replica: Replica
    tape: bool


def _copies(file: answers.FileReplicas, known: Mapping[str, Store]) -> tuple[Replica, ...]:
    """The first URL of each storage element; those on tape only where no disk has it."""
    found: dict[str, _Found] = {}
    for pfn, copy in sorted(file.pfns.items(), key=lambda each: each[1].priority):
        url = fetchable(pfn)
        store = known[copy.rse]
        if url is None or wrong_with(url) is not None or copy.client_extract or not store.readable:
            continue
        tape = store.tape or copy.type == answers.TAPE
        found.setdefault(copy.rse, _Found(Replica(url, store.site_id, copy.rse), tape))
    disks = tuple(each.replica for each in found.values() if not each.tape)
    return disks or tuple(each.replica for each in found.values())


def _checksum(file: answers.FileReplicas) -> tuple[str, str] | None:
    for algorithm, digits in CHECKSUMS:
        value = str(getattr(file, algorithm) or "").lower()
        if re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
            return algorithm, value
    return None

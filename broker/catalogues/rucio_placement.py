"""Which storage has what of a collection: counted by Rucio where that is enough, file by file where not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from broker.catalogues import MOST_FILES
from broker.catalogues import rucio_answers as answers
from broker.catalogues.rucio_client import Rucio
from broker.catalogues.rucio_stores import AT_ONCE, Store, Stores
from broker.catalogues.rucio_tokens import RucioError

# of one container: each is a question of its own
MOST_DATASETS = 200


@dataclass(frozen=True)
class Holding:
    """What one storage has: `files` of together `size_bytes`, there and whole."""

    store: Store
    files: int
    size_bytes: int


@dataclass(frozen=True)
class Bundle:
    """Files that lie at the same storages, where each can be read now; at none: nowhere."""

    stores: tuple[Store, ...]
    files: int
    size_bytes: int
    # of one of them
    example: str


@dataclass(frozen=True)
class Whereabouts:
    """A data identifier, how much it is, and who has what of it. `bundles` are None where all that can be
    used is whole, or nobody looked file by file. A file in two datasets of a container counts twice, unless
    somebody did."""

    scope: str
    name: str
    type: str
    files: int
    size_bytes: int
    holdings: tuple[Holding, ...]
    bundles: tuple[Bundle, ...] | None = None

    @property
    def did(self) -> str:
        return f"{self.scope}:{self.name}"

    def whole(self) -> tuple[Holding, ...]:
        """Those who have all of it on disk, and can be fetched from now."""
        return tuple(each for each in self.holdings if each.files >= self.files and on_disk(each.store))

    def partly(self) -> tuple[Holding, ...]:
        """Those who have some of it on disk, and can be fetched from now, at sites where nobody has all."""
        sites = {each.store.site_id for each in self.whole()} - {None}
        return tuple(
            each
            for each in self.holdings
            if 0 < each.files < self.files and on_disk(each.store) and each.store.site_id not in sites
        )


def usable(store: Store) -> bool:
    return store.readable and store.door is not None


def on_disk(store: Store) -> bool:
    return usable(store) and not store.tape


def counted(rucio: Rucio, stores: Stores, did: answers.Did, until: float) -> Whereabouts:
    """By Rucio's own counts: one question, of a container one for each of its datasets. Of a single file
    nothing is counted, for that is as dear as looking; nor where beside whole copies several storages have a
    part, for nobody knows which. Raises RucioError."""
    if did.type == answers.FILE:
        return by_file(rucio, stores, did, until)
    datasets = [(did.scope, did.name)] if did.type == answers.DATASET else _datasets(rucio, did, until)
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(datasets) or 1)) as pool:
        of_datasets = list(pool.map(lambda each: rucio.dataset_replicas(each[0], each[1], until), datasets))
    files, sizes = Counter[str](), Counter[str]()
    for replica in (replica for some in of_datasets for replica in some):
        files[replica.rse] += replica.available_length or 0
        sizes[replica.rse] += replica.available_bytes or 0
    known = stores.named((rse for rse, count in files.items() if count), until)
    holdings = tuple(Holding(store, files[rse], sizes[rse]) for rse, store in known.items())
    counts = did.length or 0, did.bytes or 0
    found = Whereabouts(did.scope, did.name, did.type, *counts, _most_first(holdings))
    whole, partly = found.whole(), found.partly()
    if not whole or not partly:
        return found
    if len(partly) == 1 and (bundles := _beside(found, whole, partly[0])) is not None:
        return replace(found, bundles=bundles)
    return by_file(rucio, stores, did, until) if found.files <= MOST_FILES else found


def _beside(found: Whereabouts, whole: Sequence[Holding], part: Holding) -> tuple[Bundle, ...] | None:
    """One part beside whole copies, which its counts say all of; None where they can't be right."""
    everywhere = tuple(each.store for each in whole)
    rest = found.files - part.files, found.size_bytes - part.size_bytes
    if rest[1] < 0 or part.size_bytes < 0:
        return None
    return (
        Bundle((part.store, *everywhere), part.files, part.size_bytes, found.name),
        Bundle(everywhere, *rest, found.name),
    )


def looked_at(rucio: Rucio, stores: Stores, did: answers.Did, until: float) -> Whereabouts:
    """File by file, where these are not too many; else counted. Raises RucioError."""
    look = by_file if did.type == answers.FILE or (did.length or 0) <= MOST_FILES else counted
    return look(rucio, stores, did, until)


def by_file(rucio: Rucio, stores: Stores, did: answers.Did, until: float) -> Whereabouts:
    """With bundles: two questions, whatever there is. Raises RucioError."""
    listed = {(each.scope, each.name): each for each in listed_files(rucio, did, until)}
    replicas = {(each.scope, each.name): each for each in rucio.replicas(did.scope, did.name, until)}
    present = {key: places(replicas[key]) if key in replicas else frozenset[str]() for key in listed}
    known = stores.named({rse for rses in present.values() for rse in rses}, until)
    files, sizes = Counter[str](), Counter[str]()
    grouped: dict[frozenset[str], list[answers.ListedFile]] = {}
    for key, rses in present.items():
        file = listed[key]
        for rse in rses:
            files[rse] += 1
            sizes[rse] += file.bytes or 0
        grouped.setdefault(readable_now(rses, known), []).append(file)
    holdings = tuple(Holding(store, files[rse], sizes[rse]) for rse, store in known.items())
    bundles = tuple(
        Bundle(
            tuple(known[rse] for rse in sorted(rses)),
            len(some),
            sum(file.bytes or 0 for file in some),
            some[0].name,
        )
        for rses, some in grouped.items()
    )
    size_bytes = sum(file.bytes or 0 for file in listed.values())
    return Whereabouts(did.scope, did.name, did.type, len(listed), size_bytes, _most_first(holdings), bundles)


def listed_files(rucio: Rucio, did: answers.Did, until: float) -> Sequence[answers.ListedFile]:
    """All of it, each file once, whether there is a copy or not."""
    if did.type == answers.FILE:
        return [answers.ListedFile(did.scope, did.name, did.bytes)]
    found = rucio.files(did.scope, did.name, until)
    # an answer that was cut short without an error would pass for a smaller dataset
    if did.type == answers.DATASET and did.length is not None and len(found) < did.length:
        raise RucioError(
            f"{rucio.where} lists {len(found)} of the {did.length} files of {did.scope}:{did.name}"
        )
    return list({(each.scope, each.name): each for each in found}.values())


def places(file: answers.FileReplicas) -> frozenset[str]:
    """The storage elements that have a whole copy, be it with a URL that can be fetched or without."""
    return frozenset(rse for rse, state in file.states.items() if state == answers.AVAILABLE)


def readable_now(rses: frozenset[str], known: Mapping[str, Store]) -> frozenset[str]:
    """Those that can be fetched from: tape only where no disk has it."""
    disks = frozenset(rse for rse in rses if on_disk(known[rse]))
    return disks or frozenset(rse for rse in rses if usable(known[rse]))


def _most_first(holdings: Sequence[Holding]) -> tuple[Holding, ...]:
    return tuple(sorted(holdings, key=lambda each: (-each.files, each.store.rse)))


def _datasets(rucio: Rucio, container: answers.Did, until: float) -> list[tuple[str, str]]:
    """The datasets of a container and of all containers in it, each as often as it is in there."""
    found: list[tuple[str, str]] = []
    seen = {(container.scope, container.name)}
    left = [(container.scope, container.name)]
    while left:
        for member in rucio.members(*left.pop(), until):
            key = member.scope, member.name
            if member.type == answers.DATASET:
                found.append(key)
            elif member.type == answers.CONTAINER and key not in seen:
                seen.add(key)
                left.append(key)
        if len(found) + len(seen) > MOST_DATASETS:
            raise RucioError(
                f"{container.scope}:{container.name} is a container of more than {MOST_DATASETS} datasets"
            )
    return found

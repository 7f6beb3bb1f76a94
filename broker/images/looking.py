"""Asking registries for images: several at once, within one time, and not again what is known."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from broker.images import Access, Image, ImageError, Looked, Trouble, Wanted, architecture
from broker.images.client import Registry
from broker.images.documents import Config, Index, Manifest, layers_of, read_config, read_manifest
from broker.images.references import Reference, is_local, parse
from federation.clock import Clock

K = TypeVar("K")
V = TypeVar("V")
log = logging.getLogger(__name__)

# for all images of a request at all sites
LOOK_SECONDS = 6.0
# images that are looked for at the same time
AT_ONCE = 16
# what a tag means may change; who was refused may push the image and come again, or log in, and a registry
# that is down may come up
TAG_LIFETIME = timedelta(minutes=5)
TROUBLE_LIFETIME = timedelta(seconds=15)
# manifests and configurations that are kept: what a digest names never changes
MOST_KEPT = 512

Question = tuple[Wanted, Access]


class Images:
    """Looks for images, for several threads. What a site may not read, it isn't told of either: what is kept
    is kept by how it was asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pool = ThreadPoolExecutor(AT_ONCE, "images")
        self._lock = threading.Lock()
        self._known: OrderedDict[Question, tuple[datetime, Looked]] = OrderedDict()
        self._asked: dict[Question, Future[Looked]] = {}
        self._kept: OrderedDict[tuple[Access, str, str], object] = OrderedDict()

    def look(self, questions: Iterable[Question], seconds: float | None = None) -> Mapping[Question, Looked]:
        """The answers, after `seconds` at most (LOOK_SECONDS); blocks. Raises nothing: what isn't known is
        said so."""
        seconds = LOOK_SECONDS if seconds is None else seconds
        deadline = time.monotonic() + seconds
        asked = {question: self._ask(question, deadline) for question in dict.fromkeys(questions)}
        found = {}
        for question, answer in asked.items():
            try:
                found[question] = answer.result(max(deadline - time.monotonic(), 0) + 0.2)
            except TimeoutError:
                # a name that isn't resolved, most often: its thread ends by itself
                found[question] = _silent(question[0], f"no answer within {seconds:g} s")
            except Exception:
                log.exception("looking for an image failed inside this broker")
                found[question] = _silent(question[0], "it could not be looked for")
        return found

    def _ask(self, question: Question, deadline: float) -> Future[Looked]:
        with self._lock:
            known = self._known.get(question)
            if known is not None and known[0] > self._clock.now():
                done: Future[Looked] = Future()
                done.set_result(known[1])
                return done
            running = self._asked.get(question)
            if running is None:
                running = self._asked[question] = self._pool.submit(self._find, question, deadline)
            return running

    def _find(self, question: Question, deadline: float) -> Looked:
        wanted, access = question
        try:
            looked = self._try_all(wanted, access, deadline)
            until = self._clock.now() + (TROUBLE_LIFETIME if looked.troubles else TAG_LIFETIME)
            with self._lock:
                _keep(self._known, question, (until, looked))
            return looked
        finally:
            with self._lock:
                self._asked.pop(question, None)

    def _try_all(self, wanted: Wanted, access: Access, deadline: float) -> Looked:
        troubles: dict[str, ImageError] = {}
        for location in wanted.locations:
            try:
                return Looked(self._try_one(location, wanted, access, deadline), troubles)
            except ImageError as problem:
                troubles[location] = problem
        return Looked(None, troubles)

    def _try_one(self, location: str, wanted: Wanted, access: Access, deadline: float) -> Image:
        """The last place, which is the registry itself behind its mirrors, has the last word."""
        if is_local(location):
            raise ImageError(Trouble.GONE, f"{location} is not there, and local images are never pulled")
        reference = parse(location)
        table = access.registries.find(reference)
        if table is not None and table.blocked:
            text = f"images of {table.prefix} are blocked at this site"
            raise ImageError(Trouble.BLOCKED, text, "use another registry")
        last: ImageError | None = None
        for place, insecure in access.registries.places(reference):
            try:
                with Registry(place, insecure, access, deadline) as registry:
                    return replace(self._named(registry, place, wanted, access), location=location)
            except ImageError as problem:
                last = problem
        assert last is not None, "there is a place"
        raise last

    def _named(self, registry: Registry, place: Reference, wanted: Wanted, access: Access) -> Image:
        """By its digest, where one is named: a tag may mean another image by now."""
        digest = place.digest or wanted.digest
        if digest is None:
            assert place.tag is not None
            return self._image(registry, place, place.tag, wanted, access)
        by_tag = place.tag if place.digest is None else None
        problem: ImageError | None = None
        try:
            image = self._image(registry, place, digest, wanted, access)
        except ImageError as error:
            if by_tag is not None and error.trouble in (Trouble.GONE, Trouble.UNKNOWN):
                # it may be that of a configuration, by which a registry finds nothing, or fails (500)
                problem, image = error, self._image(registry, place, by_tag, wanted, access)
            elif error.trouble is Trouble.GONE:
                text = f"{place.host} has no {place.name} of digest {digest}"
                raise ImageError(Trouble.DIGEST, text, "name a digest that it has") from None
            else:
                raise
        if wanted.digest is not None and wanted.digest not in image.digests:
            if problem is not None and problem.trouble is Trouble.UNKNOWN:
                raise problem
            text = f"{image.location} has the digest {image.digest}, and {wanted.digest} is not there"
            raise ImageError(Trouble.DIGEST, text, f"name the digest {image.digest}")
        return image

    def _image(
        self, registry: Registry, place: Reference, name: str, wanted: Wanted, access: Access
    ) -> Image:
        where = f"{place.name}{'@' if name.startswith('sha256:') else ':'}{name}"
        digests = set()
        found, digest = self._manifest(registry, place, name, access, where)
        digests.add(digest)
        if isinstance(found, Index):
            chosen = found.find(wanted.os, wanted.architecture)
            if chosen is None:
                text = f"{where} is for {found.platforms}, not for {_platform(wanted)}"
                raise ImageError(Trouble.PLATFORM, text, "ask for a platform that it has")
            found, digest = self._manifest(registry, place, chosen, access, where)
            digests.add(digest)
            if isinstance(found, Index):
                raise ImageError(Trouble.UNKNOWN, f"{where}: an index of indexes, which isn't read here")
        config = self._config(registry, place, found.config, access, where)
        _check_platform(where, config, wanted)
        return Image(
            location=where,
            registry=place.registry,
            digest=digest,
            digests=frozenset({*digests, found.config}),
            architecture=config.architecture or architecture(wanted.architecture),
            os=config.os or wanted.os,
            layers=layers_of(found, config),
            config_bytes=found.config_bytes,
            user=config.user,
            entrypoint=config.entrypoint,
            command=config.command,
            environment=config.environment,
        )

    def _manifest(
        self, registry: Registry, place: Reference, name: str, access: Access, where: str
    ) -> tuple[Index | Manifest, str]:
        known = self._remembered(access, place, name)
        if isinstance(known, Index | Manifest):
            return known, name
        content, digest = registry.manifest(name)
        found = read_manifest(content, where)
        self._remember(access, place, digest, found)
        return found, digest

    def _config(
        self, registry: Registry, place: Reference, digest: str, access: Access, where: str
    ) -> Config:
        known = self._remembered(access, place, digest)
        if isinstance(known, Config):
            return known
        found = read_config(registry.config(digest), where)
        self._remember(access, place, digest, found)
        return found

    def _remembered(self, access: Access, place: Reference, digest: str) -> object | None:
        with self._lock:
            return self._kept.get((access, place.name, digest))

    def _remember(self, access: Access, place: Reference, digest: str, found: object) -> None:
        with self._lock:
            _keep(self._kept, (access, place.name, digest), found)


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)


def _check_platform(where: str, config: Config, wanted: Wanted) -> None:
    its = config.os or wanted.os.lower(), config.architecture or architecture(wanted.architecture)
    if its != (wanted.os.lower(), architecture(wanted.architecture)):
        text = f"{where} is for {its[0]}/{its[1]}, not for {_platform(wanted)}"
        raise ImageError(Trouble.PLATFORM, text, "ask for the platform that it is for, or name another image")


def _platform(wanted: Wanted) -> str:
    return f"{wanted.os.lower()}/{architecture(wanted.architecture)}"


def _silent(wanted: Wanted, text: str) -> Looked:
    return Looked(None, {each: ImageError(Trouble.UNKNOWN, text) for each in wanted.locations})

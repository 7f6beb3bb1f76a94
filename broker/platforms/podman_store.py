"""The images in podman's store on a machine, and the layers that they are made of."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from broker.images.references import pinned, qualified
from broker.platforms.podman_cli import COMMAND_SECONDS, command

# an image listing is good for this long; what isn't in it is looked for again at once
LISTING_SECONDS = 60.0
# podman looks at all images for a list of them, and fails where one goes meanwhile: then it is asked again
TRIES = 5
# images whose layers are asked for by one command
INSPECTED_AT_ONCE = 50
LAYERS_SECONDS = 10.0
LAYERS_FORMAT = "{{.Id}} {{json .RootFS.Layers}}"
# how podman says, after the whole id, that it looked for an image and there is none
IS_GONE = ": image not known"


@dataclass(frozen=True)
class Stored:
    """`names` are complete, with their tags; `digests` those of its manifest, its lists and itself."""

    id: str
    names: frozenset[str]
    digests: frozenset[str]


class Images:
    """The images that are in podman's store, listed when needed. Blocks while podman runs; any thread."""

    def __init__(
        self,
        command: Callable[..., Sequence[str]] = command,
        command_seconds: float = COMMAND_SECONDS,
    ) -> None:
        """`command`: the command line of podman with those arguments. A listing may take `command_seconds`,
        with all its tries."""
        self._command, self._command_seconds = command, command_seconds
        self._lock = threading.Lock()
        self._images: tuple[Stored, ...] = ()
        # when the last listing began
        self._listed: float | None = None
        # by the id of an image, which stands for its content
        self._layers: dict[str, frozenset[str]] = {}

    def has(self, locations: Sequence[str], digest: str | None = None) -> bool:
        """Whether one of `locations` is there, and is the image of that digest."""
        wanted = {qualified(location) for location in locations}
        if digest is not None:
            wanted |= {pinned(location, digest) for location in locations}
        wanted |= {
            name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest" for name in wanted
        }

        def is_there() -> bool:
            return any(
                wanted & image.names and (digest is None or digest in image.digests) for image in self._images
            )

        asked = time.monotonic()
        with self._lock:
            fresh = self._listed is not None and asked - self._listed < LISTING_SECONDS
            # a listing that began while others were waited for is as good as one of our own
            if not fresh or (not is_there() and (self._listed is None or self._listed < asked)):
                self._list()
            return is_there()

    def layers(self) -> frozenset[str]:
        """The layers of all images that were listed last, by the digests of what they unpack to. Those that
        podman doesn't tell of in time, all together, count as not there, and are asked for again."""
        with self._lock:
            until = time.monotonic() + min(LAYERS_SECONDS, self._command_seconds)
            ids = [image.id for image in self._images if image.id not in self._layers]
            for first in range(0, len(ids), INSPECTED_AT_ONCE):
                self._inspect(ids[first : first + INSPECTED_AT_ONCE], until)
            known = {image.id for image in self._images}
            self._layers = {key: layers for key, layers in self._layers.items() if key in known}
            return frozenset().union(*self._layers.values())

    def _list(self) -> None:
        """List anew; what was known before stays where podman won't say."""
        began = time.monotonic()
        for done in self._said(began + self._command_seconds, "images", "--format", "json"):
            if done.returncode != 0:
                continue
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                self._images = tuple(_stored(each) for each in json.loads(done.stdout) or [])
                self._listed = began
                return

    def _inspect(self, ids: Sequence[str], until: float) -> None:
        """Learn the layers of these. Of one that went podman says so, and tells of the others; one that it
        won't tell of counts as not there, and is asked for again."""
        for done in self._said(until, "image", "inspect", "--format", LAYERS_FORMAT, *ids):
            told = _layers_of(done.stdout.decode(errors="replace"))
            complaint = done.stderr.decode(errors="replace")
            gone = {key for key in ids if f"{key}{IS_GONE}" in complaint}
            self._layers |= told
            self._images = tuple(image for image in self._images if image.id not in gone)
            if told.keys() | gone >= set(ids):
                return

    def _said(self, until: float, *arguments: str) -> Iterator[subprocess.CompletedProcess[bytes]]:
        """What podman says to the same question, asked TRIES times at most, and over by `until`
        (time.monotonic)."""
        for _ in range(TRIES):
            left = until - time.monotonic()
            if left <= 0:
                return
            try:
                yield subprocess.run(
                    self._command(*arguments), capture_output=True, timeout=left, stdin=subprocess.DEVNULL
                )
            except (OSError, subprocess.SubprocessError):
                continue


def _layers_of(said: str) -> dict[str, frozenset[str]]:
    """By the ids of images, as LAYERS_FORMAT has them; without what can't be read."""
    found = {}
    for line in said.splitlines():
        key, _, layers = line.partition(" ")
        with contextlib.suppress(ValueError, TypeError):
            found[key] = frozenset(json.loads(layers) or ())
    return found


def _stored(listed: dict[str, Any]) -> Stored:
    names, by_digest = listed.get("Names") or (), listed.get("RepoDigests") or ()
    digests = {name.rpartition("@")[2] for name in by_digest}
    digests |= {listed.get("Digest") or "", f"sha256:{listed.get('Id')}"}
    return Stored(str(listed.get("Id")), frozenset((*names, *by_digest)), frozenset(digests))

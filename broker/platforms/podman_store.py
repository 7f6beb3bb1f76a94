"""The images in podman's store on a machine, and the layers that they are made of."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from broker.images.references import pinned, qualified
from broker.platforms.podman_cli import COMMAND_SECONDS, command

# an image listing is good for this long; what isn't in it is looked for again at once
LISTING_SECONDS = 60.0
# tries to list them, where podman fails
LISTING_TRIES = 3
# images whose layers are asked for by one command
INSPECTED_AT_ONCE = 50
LAYERS_SECONDS = 10.0
LAYERS_FORMAT = "{{.Id}} {{json .RootFS.Layers}}"


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
        tries: int = LISTING_TRIES,
    ) -> None:
        """`command`: the command line of podman with those arguments. It may take `command_seconds`, and be
        asked `tries` times where it fails."""
        self._command, self._command_seconds, self._tries = command, command_seconds, tries
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
        """The layers of all images that were listed last, by the digests of what they unpack to."""
        with self._lock:
            self._inspect([image.id for image in self._images if image.id not in self._layers])
            known = {image.id for image in self._images}
            self._layers = {key: layers for key, layers in self._layers.items() if key in known}
            return frozenset().union(*self._layers.values())

    def _list(self) -> None:
        """List anew. podman fails where an image goes while it lists them: it is asked again, and what was
        known before stays where it won't say."""
        for _ in range(self._tries):
            began = time.monotonic()
            try:
                listed = json.loads(self._podman(self._command_seconds, "images", "--format", "json")) or []
                self._images = tuple(_stored(each) for each in listed)
            except (OSError, subprocess.SubprocessError, ValueError, TypeError, AttributeError):
                continue
            self._listed = began
            return

    def _inspect(self, ids: Sequence[str]) -> None:
        for first in range(0, len(ids), INSPECTED_AT_ONCE):
            some = ids[first : first + INSPECTED_AT_ONCE]
            try:
                limit = min(LAYERS_SECONDS, self._command_seconds)
                said = self._podman(limit, "image", "inspect", "--format", LAYERS_FORMAT, *some)
                lines = [line.partition(" ") for line in said.decode().splitlines()]
                self._layers |= {key: frozenset(json.loads(layers) or ()) for key, _, layers in lines}
            except (OSError, subprocess.SubprocessError, ValueError, TypeError):
                # one that went meanwhile; what isn't known counts as not there, and is asked for again
                continue

    def _podman(self, limit_seconds: float, *arguments: str) -> bytes:
        done = subprocess.run(
            self._command(*arguments),
            capture_output=True,
            timeout=limit_seconds,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        return done.stdout


def _stored(listed: dict[str, Any]) -> Stored:
    names, by_digest = listed.get("Names") or (), listed.get("RepoDigests") or ()
    digests = {name.rpartition("@")[2] for name in by_digest}
    digests |= {listed.get("Digest") or "", f"sha256:{listed.get('Id')}"}
    return Stored(str(listed.get("Id")), frozenset((*names, *by_digest)), frozenset(digests))

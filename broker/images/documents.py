"""Reading a registry's documents: index, manifest, configuration (OCI image format 1.1, and Docker's)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.images import ImageError, Layer, Trouble, architecture
from broker.images.references import DIGEST

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_SAID = ("Entrypoint", "Cmd", "Env")
# more than any image has
MOST_LAYERS = 1000
MOST_ENTRIES = 1000
# platforms that one message names
MOST_NAMED = 20
# of one layer: a petabyte
MOST_BYTES = 10**15
# of a platform's name, and of all that an image says of how it is started: no kernel would take as much
LONGEST_NAME, MOST_SAID = 40, 512 * 1024


@dataclass(frozen=True)
class Index:
    """The manifests of an image for several platforms: (os, architecture, digest)."""

    entries: tuple[tuple[str, str, str], ...]

    def find(self, os: str, wanted: str) -> str | None:
        """The digest of the manifest for that platform; the first counts, as for engines."""
        for its_os, its_architecture, digest in self.entries:
            if its_os == os.lower() and its_architecture == architecture(wanted):
                return digest
        return None

    @property
    def platforms(self) -> str:
        """In words; attestations and the like have none."""
        named = [
            f"{os}/{arch}" for os, arch, _ in self.entries if "unknown" not in (os, arch) and os and arch
        ]
        return ", ".join(list(dict.fromkeys(named))[:MOST_NAMED]) or "no platform"


@dataclass(frozen=True)
class Manifest:
    """`config` is the digest of the configuration."""

    config: str
    config_bytes: int
    layers: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Config:
    """What an image says of itself. `architecture` and `os` may be empty: nothing is said then."""

    architecture: str
    os: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: tuple[str, ...]
    diff_ids: tuple[str, ...]


def read_manifest(content: bytes, where: str) -> Index | Manifest:
    """Raises ImageError: TYPE for what no container engine could run, UNKNOWN for what can't be read."""
    document = _document(content, where)
    kind = document.get("mediaType")
    try:
        if kind in (OCI_INDEX, DOCKER_LIST) or (kind is None and "manifests" in document):
            return _index(document)
        if kind in (OCI_MANIFEST, DOCKER_MANIFEST) or (kind is None and "config" in document):
            return _manifest(document, where)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ImageError(Trouble.UNKNOWN, f"{where}: the manifest can't be read") from None
    if document.get("schemaVersion") == 1:
        text = f"{where}: a manifest of Docker's first format, which isn't read here"
        raise ImageError(Trouble.UNKNOWN, text)
    raise ImageError(Trouble.TYPE, f"{where} is no container image", "name an OCI image")


def read_config(content: bytes, where: str) -> Config:
    """Raises ImageError UNKNOWN where it can't be read."""
    document = _document(content, where)
    try:
        runs, rootfs = document.get("config") or {}, document.get("rootfs") or {}
        user, said = str(runs.get("User") or ""), [_texts(runs.get(each)) for each in _SAID]
        entrypoint, command, environment, diff_ids = *said, _texts(rootfs.get("diff_ids"))
        if sum(map(len, (user, *entrypoint, *command, *environment, *diff_ids))) > MOST_SAID:
            raise ValueError
        return Config(
            architecture(_name(document.get("architecture"))),
            _name(document.get("os")),
            user,
            entrypoint,
            command,
            tuple(each.partition("=")[0] for each in environment),
            diff_ids,
        )
    except (TypeError, ValueError, AttributeError):
        raise ImageError(Trouble.UNKNOWN, f"{where}: the configuration can't be read") from None


def layers_of(manifest: Manifest, config: Config) -> tuple[Layer, ...]:
    """With what each is unpacked, where manifest and configuration agree on how many there are."""
    diff_ids: Sequence[str | None] = config.diff_ids
    if len(config.diff_ids) != len(manifest.layers):
        diff_ids = [None] * len(manifest.layers)
    return tuple(
        Layer(digest, size, diff_id)
        for (digest, size), diff_id in zip(manifest.layers, diff_ids, strict=True)
    )


def _document(content: bytes, where: str) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, Mapping):
        raise ImageError(Trouble.UNKNOWN, f"{where}: expected a document, the registry sent something else")
    return document


def _index(document: Mapping[str, Any]) -> Index:
    entries = []
    for each in document["manifests"][:MOST_ENTRIES]:
        platform = each.get("platform") or {}
        its_architecture = architecture(_name(platform.get("architecture")))
        entries.append((_name(platform.get("os")), its_architecture, _digest(each["digest"])))
    return Index(tuple(entries))


def _manifest(document: Mapping[str, Any], where: str) -> Manifest:
    config = document["config"]
    if config.get("mediaType") not in CONFIGS:
        kind = str(config.get("mediaType"))[:80]
        raise ImageError(Trouble.TYPE, f"{where} is no container image, but {kind}", "name an OCI image")
    layers = document["layers"]
    if len(layers) > MOST_LAYERS:
        raise ValueError
    sized = tuple((_digest(each["digest"]), _size(each["size"])) for each in layers)
    return Manifest(_digest(config["digest"]), _size(config["size"]), sized)


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not DIGEST.fullmatch(value):
        raise ValueError
    return value


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_BYTES:
        raise ValueError
    return value


def _name(value: Any) -> str:
    """Of an operating system or an architecture; empty where there is none."""
    return str(value or "").lower()[:LONGEST_NAME]


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise TypeError
    return tuple(str(each) for each in value)

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
# more than any image has
MOST_LAYERS = 1000
MOST_ENTRIES = 1000


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
        return ", ".join(dict.fromkeys(named)) or "no platform"


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
        return Config(
            architecture(str(document.get("architecture") or "")),
            str(document.get("os") or "").lower(),
            str(runs.get("User") or ""),
            _texts(runs.get("Entrypoint")),
            _texts(runs.get("Cmd")),
            tuple(each.partition("=")[0] for each in _texts(runs.get("Env"))),
            _texts(rootfs.get("diff_ids")),
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
        its_architecture = architecture(str(platform.get("architecture") or ""))
        entries.append((str(platform.get("os") or "").lower(), its_architecture, _digest(each["digest"])))
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
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise TypeError
    return tuple(str(each) for each in value)

"""A real registry (Debian's docker-registry) on loopback, and images made on the spot and pushed to it."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.images import Access
from broker.images.access import site_access
from broker.images.documents import OCI_INDEX, OCI_MANIFEST
from broker.images.registries import read_registries
from federation.sites import Federation, Place, Site
from tests.ports import free_port

USER, PASSWORD = "reader", "s3cret-word"
# bcrypt of PASSWORD, the one form that the registry takes
HTPASSWD = f"{USER}:$2b$05$tMiEUwpoYvMOpPGwSdb86u35HtdUw.lzVXt2s1T7U9kRPX0V41kY.\n"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Blob:
    content: bytes
    kind: str
    diff_id: str | None = None

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": self.kind, "digest": self.digest, "size": len(self.content), **more}


@dataclass(frozen=True)
class Made:
    """An image as it is pushed: its manifest, and what that names."""

    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]
    platform: tuple[str, str]

    @property
    def size_bytes(self) -> int:
        return sum(len(each.content) for each in (self.config, *self.layers))


def make_layer(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Blob:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    plain = stream.getvalue()
    return Blob(gzip.compress(plain, 1, mtime=0), LAYER, f"sha256:{hashlib.sha256(plain).hexdigest()}")


def make_image(
    *layers: Blob, os: str = "linux", architecture: str = "amd64", config_kind: str = CONFIG, **runs: Any
) -> Made:
    """`runs`: User, Entrypoint, Cmd, Env, as a configuration has them."""
    document = {
        "architecture": architecture,
        "os": os,
        "config": {"Cmd": ["/bin/tool"], **runs},
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
    }
    config = Blob(json.dumps(document).encode(), config_kind)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [each.descriptor() for each in layers],
    }
    return Made(Blob(json.dumps(manifest).encode(), OCI_MANIFEST), config, layers, (os, architecture))


def make_index(*images: Made) -> Blob:
    entries = [
        each.manifest.descriptor(platform={"os": each.platform[0], "architecture": each.platform[1]})
        for each in images
    ]
    # what buildx adds besides
    nothing = Blob(b"{}", OCI_MANIFEST)
    entries.append(nothing.descriptor(platform={"os": "unknown", "architecture": "unknown"}))
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries[:-1]}
    return Blob(json.dumps(document).encode(), OCI_INDEX)


@dataclass
class RealRegistry:
    """It runs as long as the block of `real_registry`. `host` is "127.0.0.1:PORT"."""

    host: str
    directory: Path
    process: subprocess.Popen[bytes]
    login: tuple[str, str] | None = None
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=f"http://{self.host}/v2", auth=self.login, trust_env=False, timeout=60
        )

    def push(self, repository: str, tag: str, image: Made) -> Made:
        for blob in (image.config, *image.layers):
            self._blob(repository, blob)
        self.put(repository, image.manifest.digest, image.manifest)
        self.put(repository, tag, image.manifest)
        return image

    def put(self, repository: str, name: str, manifest: Blob) -> None:
        path = f"/{repository}/manifests/{name}"
        answer = self.http.put(path, content=manifest.content, headers={"Content-Type": manifest.kind})
        assert answer.status_code == 201, answer.text

    def delete(self, repository: str, digest: str) -> None:
        assert self.http.delete(f"/{repository}/manifests/{digest}").status_code == 202

    def _blob(self, repository: str, blob: Blob) -> None:
        if self.http.head(f"/{repository}/blobs/{blob.digest}").status_code == 200:
            return
        begun = self.http.post(f"/{repository}/blobs/uploads/")
        assert begun.status_code == 202, begun.text
        url = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": blob.digest})
        answer = self.http.put(
            url, content=blob.content, headers={"Content-Type": "application/octet-stream"}
        )
        assert answer.status_code == 201, answer.text

    def gets(self) -> int:
        """How many manifests and blobs it has been asked for."""
        log = (self.directory / "log").read_text()
        return log.count('"GET /v2/')


@contextlib.contextmanager
def real_registry(directory: Path, private: bool = False) -> Iterator[RealRegistry]:
    """One of its own, empty; `private`: only USER with PASSWORD may read and write."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("there is no docker-registry here")
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = [
        "version: 0.1",
        f"storage: {{filesystem: {{rootdirectory: {directory / 'store'}}}, delete: {{enabled: true}}}}",
        f"http: {{addr: 127.0.0.1:{port}}}",
    ]
    if private:
        (directory / "htpasswd").write_text(HTPASSWD)
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {directory / 'htpasswd'}}}}}")
    (directory / "registry.yml").write_text("\n".join(lines) + "\n")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(directory / "registry.yml")], stdout=log, stderr=log
        )
        try:
            login = (USER, PASSWORD) if private else None
            registry = RealRegistry(f"127.0.0.1:{port}", directory, process, login)
            _until_up(registry)
            yield registry
            registry.http.close()
        finally:
            process.kill()
            process.wait()


def _until_up(registry: RealRegistry) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert registry.process.poll() is None, (registry.directory / "log").read_text()[-2000:]
        try:
            registry.http.get("/")
        except httpx.TransportError:
            assert time.monotonic() < deadline, "docker-registry doesn't listen"
            time.sleep(0.02)
        else:
            return


def registries_file(directory: Path, *hosts: str, text: str = "") -> Path:
    """A registries.conf by which these hosts speak plain HTTP."""
    tables = [f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in hosts]
    file = directory / "registries.conf"
    file.write_text("unqualified-search-registries = []\n" + "\n".join(tables) + text)
    return file


def auth_file(directory: Path, logins: Mapping[str, tuple[str, str]]) -> Path:
    auths = {
        host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
        for host, (user, password) in logins.items()
    }
    file = directory / "auth.json"
    file.write_text(json.dumps({"auths": auths}))
    return file


def access_to(directory: Path, *hosts: str, text: str = "", login: Path | None = None) -> Access:
    """As a site has it whose operator named these insecure registries."""
    registries = read_registries(registries_file(directory, *hosts, text=text))
    site = Site("here", "Here", Place(0, 0))
    return site_access(Federation("test", {"here": site}), site, registries, login)

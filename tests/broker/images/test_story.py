"""An image's whole story through a broker: asked for by its digest, offered with its price, pulled, run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead import client
from fairlead.served import start
from tests.broker.conftest import KINDS
from tests.broker.conversation import accept, asking, until
from tests.broker.images.real import PASSWORD, USER, auth_file, make_image, real_registry, registries_file
from tests.broker.images.test_offers import busybox_layer, remove_pulled

pytestmark = pytest.mark.podman

CATALOGUE = """
name = "Images"
[sites.here]
name = "Here"
latitude = 0.0
longitude = 0.0
[sites.here.platform]
kind = "podman"
cores = 4
memory = "8 GiB"
storage = "10 GiB"
[sites.here.platform.options]
stop_seconds = 0.0
registries_file = "REGISTRIES"
auth_file = "LOGINS"
outside_rate = "1 Gbit/s"
"""


def document(location: str, digest: str) -> dict[str, Any]:
    return {
        "executable": {
            "kind": f"{KINDS}executable/docker-container.yaml",
            "image": {"locations": [location], "digest": digest},
            "command": ["/bin/busybox", "true"],
        },
        "compute": {"kind": f"{KINDS}compute/simple-compute-resource.yaml"},
        "schedule": {"requested": {"duration": "PT2M"}},
    }


def test_an_image_is_offered_with_its_price_pulled_by_its_digest_and_run(tmp_path: Path) -> None:
    with real_registry(tmp_path / "registry", private=True) as registry:
        made = registry.push("team/tool", "1", make_image(busybox_layer("story")))
        name, digest = f"{registry.host}/team/tool", made.manifest.digest
        catalogue = tmp_path / "sites.toml"
        logins = auth_file(tmp_path, {registry.host: (USER, PASSWORD)})
        text = CATALOGUE.replace("REGISTRIES", str(registries_file(tmp_path, registry.host)))
        catalogue.write_text(text.replace("LOGINS", str(logins)))
        settings = {
            "HOME": str(tmp_path),
            "FAIRLEAD_ADMIN_PASSWORD": "correct-horse",
            "FAIRLEAD_DATABASE_URL": f"sqlite:///{tmp_path}/broker.db",
            "FAIRLEAD_WORK_DIRECTORY": str(tmp_path / "work"),
        }
        served = start(["--catalogue", str(catalogue)], tmp_path / "log", settings)
        try:
            with asking(served) as owner:
                assert_refused(owner, document(f"{name}:1", "sha256:" + "ab" * 32), digest)
                path = accept(owner, document(f"{name}:1", digest))
                session = until(owner, path, "COMPLETED", "FAILED")
                assert session["phase"] == "COMPLETED", [m["message"] for m in session["meta"]["messages"]]
                said = " ".join(str(message) for message in session["meta"]["messages"])
                assert f"image {name}:1, " in said
                assert "1 Gbit/s by the site's operator" in said
                # the whole of it crossed the network, and is told as a cost of its executable
                for part in (session, session["executable"]):
                    moved = client.figure(part, "costs", client.TRANSFER_BYTES)
                    assert moved == (made.size_bytes, made.size_bytes)
            assert PASSWORD not in (tmp_path / "log").read_text()
        finally:
            served.stop()
            remove_pulled(registry)


def assert_refused(owner: httpx.Client, asked: dict[str, Any], remedy: str) -> None:
    answer = owner.post("/requests", json=asked).json()
    assert answer["result"] == "NO", answer
    said = " ".join(str(message) for message in answer["meta"]["messages"])
    assert f"name the digest {remedy}" in said

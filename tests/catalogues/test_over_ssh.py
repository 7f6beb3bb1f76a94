"""Data at a site that is reached over SSH: asked for there, and moved there (S3, WebDAV: in their own tests).

The site's servers are on its loopback, which is no address that this broker goes to by itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import pytest

from tests.catalogues.answering import answering
from tests.catalogues.serving import brought, over_ssh, resolve
from tests.federation.sshd import Server, seen_by_everybody, ssh_server

BODY = b"x" * 5000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def test_a_token_is_shown_by_the_site_and_is_seen_by_nobody_there(server: Server, tmp_path: Path) -> None:
    seen: list[str] = []
    with answering() as store:
        store.answers["/a.fits"] = (200, {}, BODY)
        store.on_request = lambda: seen.append(seen_by_everybody())
        secret, also = token_hex(), token_hex()
        (tmp_path / "token").write_text(f"{secret}\n")
        tokens = [{"host": store.host, "file": str(tmp_path / "token")}]
        around = over_ssh(server, tmp_path / "site", {"http": {"tokens": tokens}})
        item = resolve(around, "simple-data-resource", {"location": store.url(f"/a.fits?key={also}")}).item
        assert item is not None
        assert item.size_bytes == len(BODY)
        found, moved = brought(around, tmp_path / "site", item)
        assert list(found.values()) == [BODY]
        assert set(store.seen("Authorization")) == {f"Bearer {secret}"}
    assert all("federation.ssh" in each for each in seen)
    assert not any(secret in each or also in each for each in [*seen, moved])


def test_a_site_that_cannot_be_reached_is_said_in_a_line(server: Server, tmp_path: Path) -> None:
    away = replace(server, host=replace(server.host, port=1))
    around = over_ssh(away, tmp_path / "site", {})
    resolved = resolve(around, "simple-data-resource", {"location": "http://127.0.0.1:1/a.fits"})
    texts = " ".join(note.text for note in resolved.notes)
    assert "ssh: " in texts
    assert "Connection refused" in texts
    assert "\n" not in texts


def test_nothing_of_ours_is_needed_there_but_a_python(server: Server, tmp_path: Path) -> None:
    look = server.host.argv([server.host.python, "-I", "-c", "import netprobe"])
    done = subprocess.run(look, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert "No module named 'netprobe'" in done.stderr
    without = replace(server, host=replace(server.host, python="no-such-python"))
    around = over_ssh(without, tmp_path / "site", {})
    resolved = resolve(around, "simple-data-resource", {"location": "http://127.0.0.1:1/a.fits"})
    assert "no-such-python: not found" in " ".join(note.text for note in resolved.notes)

"""Rucio's own client, asked the same: it must say what we say."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from broker.catalogues.rucio import RucioCatalogue
from tests.rucio.conftest import World
from tests.rucio.environment import programs
from tests.rucio.server import PASSWORD, USER

ASK = """
import json, sys
from rucio.client import Client
url, user, password, name = sys.argv[1:]
client = Client(rucio_host=url, auth_host=url, account="root", auth_type="userpass",
                creds={"username": user, "password": password})
did = client.get_did("sky", name, dynamic_depth="FILE")
files = {file["name"]: [file["bytes"], file["md5"], sorted(file["pfns"])]
         for file in client.list_replicas([{"scope": "sky", "name": name}], ignore_availability=False)}
print(json.dumps([did["length"], did["bytes"], files]))
"""


def by_their_client(world: World, name: str, home: Path) -> tuple[int, int, dict[str, Any]]:
    environment = {**os.environ, "RUCIO_CLIENT_MODE": "1", "HOME": str(home), "TMPDIR": str(home)}
    environment.pop("RUCIO_HOME", None)
    command = [str(programs() / "python"), "-c", ASK, world.rucio.url, USER, PASSWORD, name]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-800:]
    length, size_bytes, files = json.loads(done.stdout)
    return length, size_bytes, files


def test_both_see_the_same_files_sizes_checksums_and_urls(world: World, tmp_path: Path) -> None:
    world.dataset("compared", A1=range(9), B=range(4, 12), C=range(12))
    length, size_bytes, theirs = by_their_client(world, "compared", tmp_path)
    ours = RucioCatalogue(world.federation, True)
    item = ours.resolve("u-1", "cube", {"rucio": {"scope": "sky", "object": "compared"}}, "/data/0").item
    assert item is not None
    assert (item.files, item.size_bytes) == (length, size_bytes)
    found = {
        file.path: [file.size_bytes, (file.checksum or ("", ""))[1], sorted(one.url for one in file.replicas)]
        for file in ours.files(item, world.federation["a"])
    }
    assert found == theirs

"""A federation of six sites, five of them with another platform each, on data in a real Rucio and in S3."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from broker.catalogues.s3_signing import Key, presigned
from fairlead.client import BrokerClient
from fairlead.served import Served, start
from federation.clock import SystemClock
from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.recorded import load_recorded
from tests.catalogues.serving import served as serving
from tests.cloud.cloud import Cloud
from tests.cloud.guest import hypervisor
from tests.cloud.test_platform import options as cloud_options
from tests.rucio.server import Admin, rucio
from tests.rucio.storage import Storage, path_of, registered, storage
from tests.skaha.platform_support import Site as SkahaSite
from tests.skaha.serving import skaha
from tests.slurm.cluster import Cluster, running
from tests.slurm.platform_support import platform_options
from tests.story.image import image_for
from tests.story.survey import Survey, survey

PROGRAM = Path(__file__).with_name("cutouts.py")
PASSWORD = "correct-horse"
SCOPE, DATASET, CUTOUTS = "sky", "tiles", "cutouts"
BUCKET, SOURCES, RESULTS = "sky", "sources.fits", "empty"
# where what lies: who has all tiles, who has some, and whose storage takes the results
RSES = {"perth": "PERTH", "penticton": "PENTICTON", "lausanne": "LAUSANNE"}
# the lab's sites, between which `load_recorded` has measurements
PLACES = {
    "manchester": (53.48, -2.24),
    "lausanne": (46.52, 6.63),
    "penticton": (49.32, -119.62),
    "capetown": (-33.93, 18.42),
    "perth": (-31.95, 115.86),
    "sydney": (-33.87, 151.21),
}
# room for whatever is held for offers that nobody accepted, here and at the broker behind: a site that is
# full of them offers a start in twenty minutes
SIZE = {"cores": 1000, "memory": "4000 GiB", "storage": "4000 GiB"}


@dataclass(frozen=True)
class World:
    """`broker` is the one that is asked; `other` is behind it, and is the platform of capetown."""

    directory: Path
    image: str
    sky: Survey
    admin: Admin
    files: Storage
    s3: str
    s3_writer: Key
    cluster: Cluster
    skaha: SkahaSite
    broker: Served
    other: Served

    def put(self, rse: str, name: str, content: bytes) -> None:
        """A file into a storage element, and into Rucio with its checksums."""
        url = self.files.url(path_of(rse, SCOPE, name))
        httpx.put(url, content=content, trust_env=False, timeout=60).raise_for_status()
        self.admin.replicas(rse, [registered(SCOPE, name, content)])

    def put_s3(self, name: str, content: bytes) -> str:
        """An object into the bucket; its URL."""
        url = f"{self.s3}/{BUCKET}/{name}"
        signed = presigned(self.s3_writer, "us-east-1", url, 3600, datetime.now(UTC), "PUT")
        httpx.put(signed, content=content, trust_env=False, timeout=60).raise_for_status()
        return url

    def as_client(self, broker: Served) -> BrokerClient:
        return BrokerClient(broker.url, broker.user, PASSWORD)

    @property
    def environment(self) -> dict[str, str]:
        """What commands are told, so that they read what the broker reads."""
        catalogue, database = self.directory / "main.toml", f"sqlite:///{self.directory}/main.db"
        return {
            **os.environ,
            "FAIRLEAD_CATALOGUE": str(catalogue),
            "FAIRLEAD_DATABASE_URL": database,
        }


@contextmanager
def world(directory: Path, image: str, cloud: Cloud) -> Iterator[World]:
    with ExitStack() as stack:
        sky = survey()
        stack.enter_context(image_for(image, PROGRAM, _trial(directory, sky), directory))
        files = stack.enter_context(storage())
        catalogue = stack.enter_context(rucio(directory / "rucio"))
        said = json.loads(stack.enter_context(serving("s3_server.py", directory / "s3.log")))
        cluster = stack.enter_context(running(2, control_groups=True))
        science_portal = stack.enter_context(skaha(directory / "skaha"))
        science_portal.simulator.hosts.append("localhost")
        science_portal.simulator.images.append({"id": image, "types": ["headless"], "digest": ""})
        at_skaha = SkahaSite(science_portal, directory).with_staging()
        admin = catalogue.admin()
        stack.callback(admin.close)

        s3 = f"http://127.0.0.1:{said['port']}"
        keys = directory / "s3-keys"
        keys.write_text("".join(_profile(name, *said["keys"][name]) for name in ("reader", "keeper")))
        reader = {"endpoint": s3, "file": str(keys), "profile": "reader"}
        data = {"rucio": catalogue.options, "s3": {"credentials": [reader]}}
        hosts = {"lausanne": [s3.removeprefix("http://")], "perth": [f"127.0.0.1:{files.port}"]}

        def serve(name: str, platforms: dict[str, Any], more: dict[str, str] | None = None) -> Served:
            served = _serve(directory, name, platforms, hosts, data, more or {})
            stack.callback(served.stop)
            return served

        podman = {"kind": "podman", **SIZE, "options": {"stop_seconds": 0.0}}
        other = serve("other", {"capetown": podman})
        (directory / "other-password").write_text(PASSWORD)
        signed_in = {"user": other.user, "password_file": str(directory / "other-password")}
        token = directory / "token"
        token.write_text("tok123\n")
        asked = {"poll_seconds": 0.2, "log_seconds": 0.2, "image_seconds": 0.5}
        there = {"url": science_portal.url, "token_file": str(token), **at_skaha.options, **asked}
        platforms = {
            "manchester": podman,
            "lausanne": {
                "kind": "slurm",
                **SIZE,
                "options": platform_options(cluster, image_seconds=1.0),
            },
            "penticton": {"kind": "skaha", **SIZE, "options": there},
            "capetown": {"kind": "execution_broker", **SIZE, "options": {"url": other.url, **signed_in}},
            # has the data
            "perth": {
                "kind": "openstack",
                **SIZE,
                "options": _servers(stack, cloud, directory, image, s3, keys),
            },
            # has next to nothing to compute with
            "sydney": {**podman, "cores": 1},
        }
        os_config = {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml)}
        broker = serve("main", platforms, os_config)
        writer = Key(*said["keys"]["writer"])
        world = World(directory, image, sky, admin, files, s3, writer, cluster, at_skaha, broker, other)
        _fill(world)
        yield world


def _profile(name: str, key_id: str, secret: str) -> str:
    return f"[{name}]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"


def _servers(
    stack: ExitStack, cloud: Cloud, directory: Path, image: str, s3: str, keys: Path
) -> dict[str, Any]:
    """A cloud whose servers boot, one a session, and whose results come back by a bucket."""
    cloud.clean()
    stack.callback(cloud.clean)
    cloud.keep_from_blazar("cpu2")
    stack.enter_context(hypervisor(cloud, directory / "servers"))
    bucket = {"endpoint": s3, "bucket": RESULTS, "file": str(keys), "profile": "keeper"}
    here = {"local_images": [image], "server_disk_gib": 1, "start_seconds": 30.0}
    return cloud_options(**here, storage="keep", results=bucket)


def _trial(directory: Path, sky: Survey) -> list[str]:
    """The survey as files, for the program to be run once."""
    trial = directory / "trial"
    for name in ("tiles", "results"):
        (trial / name).mkdir(parents=True)
    for name, content in sky.tiles.items():
        (trial / "tiles" / name).write_bytes(content)
    (trial / "sources.fits").write_bytes(sky.sources)
    return [str(trial / name) for name in ("tiles", "sources.fits", "results")]


def _fill(world: World) -> None:
    """The tiles into Rucio: all at one site, half at another; the sources into S3."""
    world.admin.scope(SCOPE)
    for rse in RSES.values():
        world.admin.rse(rse, world.files.port)
    for number, (name, content) in enumerate(world.sky.tiles.items()):
        world.put("PERTH", name, content)
        if number % 2:
            world.put("PENTICTON", name, content)
    world.admin.collection("DATASET", SCOPE, DATASET, list(world.sky.tiles))
    world.admin.collection("DATASET", SCOPE, CUTOUTS, [])
    world.put_s3(SOURCES, world.sky.sources)


def _serve(
    directory: Path,
    name: str,
    platforms: dict[str, Any],
    hosts: dict[str, list[str]],
    data: dict[str, Any],
    environment: dict[str, str],
) -> Served:
    """A broker whose archive holds what was measured between the lab's sites."""
    catalogue, database = directory / f"{name}.toml", f"sqlite:///{directory}/{name}.db"
    lines = [f'name = "{name}"']
    for site, (latitude, longitude) in PLACES.items():
        lines += [f"[sites.{site}]", f'name = "{site.title()}"']
        lines += [f"latitude = {latitude}", f"longitude = {longitude}"]
        lines += [f"data_hosts = {json.dumps(hosts.get(site, []))}"]
        lines += [f"rses = {json.dumps([RSES[site]] if site in RSES else [])}"]
        if site in platforms:
            lines += [f"platform = {_toml(platforms[site])}"]
        # all sites are this machine: what another one's storage is, is an address that none may ask
        lines += [f"policy = {_toml({'allowed_networks': ['127.0.0.0/8']})}"]
    lines += ["[catalogues]", *(f"{key} = {_toml(value)}" for key, value in data.items())]
    catalogue.write_text("\n".join(lines) + "\n")
    engine = connect(database)
    upgrade(engine)
    load_recorded(Archive(engine), SystemClock().now())
    engine.dispose()
    settings = {
        "HOME": str(directory),
        "FAIRLEAD_ADMIN_PASSWORD": PASSWORD,
        "FAIRLEAD_DATABASE_URL": database,
        "FAIRLEAD_WORK_DIRECTORY": str(directory / f"{name}-work"),
        **environment,
    }
    return start(["--catalogue", str(catalogue)], directory / f"{name}.log", settings)


def _toml(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


def request(world: World, cores: int = 2) -> dict[str, Any]:
    """The task: cut-outs around the sources that are listed in S3, from the tiles that Rucio has."""
    kinds = "https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/"
    mount = f"{kinds}volume/simple-volume-mount.yaml"
    volumes = [
        {"kind": mount, "path": path, "mode": mode, "resource": resource}
        for path, mode, resource in (
            ("/data/tiles", "READONLY", "tiles"),
            ("/data/sources", "READONLY", "sources"),
            ("/results", "READWRITE", "results"),
        )
    ]
    return {
        "executable": {
            "kind": f"{kinds}executable/docker-container.yaml",
            "image": {"locations": [world.image]},
            "entrypoint": sys.executable,
            "command": ["-c", PROGRAM.read_text(), "/data/tiles", "/data/sources", "/results"],
        },
        "data": [
            {
                "kind": f"{kinds}data/rucio-data-resource.yaml",
                "meta": {"name": "tiles"},
                "rucio": {"scope": SCOPE, "object": DATASET, "type": "DATASET"},
            },
            {
                "kind": f"{kinds}data/S3-data-resource.yaml",
                "meta": {"name": "sources"},
                "endpoint": world.s3,
                "bucket": BUCKET,
                "object": SOURCES,
            },
        ],
        "storage": [
            {
                "kind": f"{kinds}storage/simple-storage-resource.yaml",
                "meta": {"name": "results"},
                "size": {"min": 1},
            }
        ],
        "compute": {
            "kind": f"{kinds}compute/simple-compute-resource.yaml",
            "cores": {"min": cores},
            "memory": {"min": 1},
            "volumes": volumes,
        },
        "schedule": {"requested": {"duration": "PT15M"}},
    }

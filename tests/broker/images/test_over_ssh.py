"""Images for a cluster behind SSH: its podman's store, logins and mirrors count, and are read there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broker.model import Executable
from broker.offers import price
from broker.platforms.engine_conf import engine_flags
from federation.hosts import SshHost
from federation.sites import Federation, Policy
from tests.broker.conftest import make_federation, make_site
from tests.broker.images.real import (
    PASSWORD,
    USER,
    RealRegistry,
    auth_file,
    make_image,
    make_layer,
    real_registry,
    registries_file,
)
from tests.broker.images.test_offers import ask, busybox_layer, of_kind, remove_pulled
from tests.broker.offering import figure
from tests.federation.sshd import Server, ssh_server

pytestmark = pytest.mark.podman
ENGINE = ["podman", *engine_flags().everywhere]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry"), private=True) as running:
        yield running
        remove_pulled(running)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What the account there has as its own, and nobody here."""
    containers = tmp_path / "home" / ".config" / "containers"
    containers.mkdir(parents=True)
    return containers


@pytest.fixture
def server(tmp_path: Path, home: Path) -> Iterator[Server]:
    (tmp_path / "keys").mkdir()
    with ssh_server(tmp_path / "keys", HOME=str(home.parents[1]), XDG_RUNTIME_DIR=str(home)) as running:
        yield running


def cluster(host: SshHost, directory: Path) -> Federation:
    site = make_site(
        "lausanne", 46.5, 6.6, kind="slurm", options={"staging": str(directory), "engine": ENGINE}
    )
    # the registry is on loopback: without that word of the broker's operator nobody would ask it
    return make_federation(replace(site, host=host, policy=Policy(allowed_networks=("127.0.0.0/8",))))


def test_what_podman_there_has_and_may_have_counts(
    tmp_path: Path, registry: RealRegistry, home: Path, server: Server
) -> None:
    base, own = busybox_layer("ssh"), make_layer({"x": b"more"})
    registry.push("there/base", "1", make_image(base))
    made = registry.push("there/tool", "1", make_image(base, own))
    registries_file(home, registry.host)
    login = auth_file(home, {registry.host: (USER, PASSWORD)})
    pull = server.host.argv(
        [*ENGINE, "pull", "--quiet", "--tls-verify=false", f"{registry.host}/there/base:1"]
    )
    subprocess.run(pull, check=True, timeout=60, stdin=subprocess.DEVNULL)

    federation = cluster(server.host, tmp_path)
    offers = ask(federation, tmp_path, Executable("tool", (f"{registry.host}/there/tool:1",)))
    [said] = of_kind(offers.placements[0].notes, "image")
    lacks = len(made.config.content) + len(own.content)
    assert f" of it at lausanne already: {said.values['p50']}" in said.text
    part = offers.placements[0].component_costs["executable"]
    assert figure(part, price.TRANSFER_BYTES).maximum == lacks
    assert PASSWORD not in repr(offers)
    # what is in its store is asked for nowhere
    before = registry.gets()
    offers = ask(federation, tmp_path, Executable("base", (f"{registry.host}/there/base:1",)))
    assert offers.placements
    assert registry.gets() == before
    # and without its login nobody may read it
    login.unlink()
    refused = ask(federation, tmp_path, Executable("tool", (f"{registry.host}/there/tool:1",)))
    assert of_kind(refused.notes, "image-not-public")


def test_of_a_site_that_is_away_nothing_is_guessed(
    tmp_path: Path, registry: RealRegistry, server: Server
) -> None:
    away = replace(server.host, port=1)
    before = registry.gets()
    offers = ask(cluster(away, tmp_path), tmp_path, Executable("x", (f"{registry.host}/there/nothing:1",)))
    assert offers.placements
    assert registry.gets() == before


def test_what_a_site_calls_a_mirror_leads_to_no_address_of_ours(
    tmp_path: Path, registry: RealRegistry, home: Path, server: Server
) -> None:
    registries_file(home, registry.host)
    federation = cluster(server.host, tmp_path)
    federation = make_federation(replace(federation["lausanne"], policy=Policy()))
    before = registry.gets()
    refused = ask(federation, tmp_path, Executable("x", (f"{registry.host}/there/tool:1",)))
    assert of_kind(refused.notes, "image-registry")
    assert registry.gets() == before

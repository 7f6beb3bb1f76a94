"""The image of a request in offers and in their stead: real registry, real podman, sites that differ."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.images.looking import Images
from broker.model import Executable, Job, Level, Note, Request
from broker.offers import price
from broker.offers.engine import Offers, find_candidates, make_offers
from broker.offers.refusal import explain
from broker.platforms import Platform, PlatformError, load_platform
from fairlead.can_run import who_can_run
from fairlead.demo_image import APPLETS, find_busybox
from federation.clock import ManualClock
from federation.errors import InputError
from federation.sites import Federation, Tariff
from tests.broker.conftest import NOW, make_federation, make_request, make_site
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
from tests.broker.offering import LIFETIME, figure, forecast, texts
from tests.broker.podman_support import podman
from tests.contracts.platform_support import make_job, until_exited
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.podman


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def stored(registry: RealRegistry) -> Iterator[None]:
    """What a test pulls from the registry is gone behind it."""
    yield
    remove_pulled(registry)


def remove_pulled(registry: RealRegistry) -> None:
    """Whatever podman has by this registry's name, and nothing else."""
    listed = ""

    def is_listed() -> bool:
        nonlocal listed
        # podman fails where an image of another test goes while it looks at all of them
        with contextlib.suppress(AssertionError):
            listed = podman("images", "--format", "{{.Id}} {{.Repository}}")
            return True
        return False

    until(is_listed, "podman lists its images")
    for line in listed.splitlines():
        key, _, name = line.partition(" ")
        if name.startswith(f"{registry.host}/"):
            podman("image", "rm", "--force", "--ignore", key)


def busybox_layer(name: str) -> Any:
    """A whole root directory, which no other test has."""
    program = find_busybox().read_bytes()
    links = {f"bin/{applet}": "busybox" for applet in APPLETS}
    return make_layer({"bin/busybox": program, f"of/{name}": uuid.uuid4().bytes}, links)


def federation_of(directory: Path, *hosts: str, **options: Any) -> Federation:
    """Penticton and Lausanne run podman; the registry stands at Penticton, which alone knows `options`."""
    file = str(registries_file(directory, *hosts))
    here, there = (
        make_site(name, north, east, kind="podman", options={"registries_file": file})
        for name, north, east in (("penticton", 49.5, -119.6), ("lausanne", 46.5, 6.6))
    )
    platform = replace(here.platform, options={"registries_file": file, **options})  # type: ignore[type-var]
    here = replace(here, platform=platform, registries=hosts)
    there = replace(there, tariff=Tariff(per_core_hour=0.1, per_gib_moved=1024.0))
    return make_federation(here, there)


def platforms_of(federation: Federation, directory: Path) -> dict[str, Platform]:
    return {site.id: load_platform(site, federation, ManualClock(NOW), directory) for site in federation}


def ask(federation: Federation, directory: Path, executable: Executable) -> Offers:
    """Offers, or a NO with its reasons, best first."""
    request: Request = replace(make_request(), executable=executable)
    platforms, images = platforms_of(federation, directory), Images(ManualClock(NOW))
    candidates, reasons = find_candidates(
        federation, platforms, request, forecast, NOW, {"the": "document"}, images
    )
    offers = make_offers(candidates, {}, NOW, LIFETIME, refused=reasons)
    if offers.placements:
        return offers
    return Offers((), explain(offers.notes, candidates, {}, NOW, LIFETIME).notes)


def of_kind(notes: tuple[Note, ...], kind: str) -> list[Note]:
    return [note for note in notes if note.kind == kind]


def test_an_image_costs_what_moving_its_layers_costs(
    tmp_path: Path, registry: RealRegistry, stored: None
) -> None:
    base, own = busybox_layer("base"), make_layer({"data": os.urandom(6_000_000)})
    registry.push("cost/base", "1", make_image(base))
    made = registry.push("cost/tool", "1", make_image(base, own))
    federation = federation_of(tmp_path, registry.host)
    executable = Executable("tool", (f"{registry.host}/cost/tool:1",))
    offers = ask(federation, tmp_path, executable)
    here, there = sorted(offers.placements, key=lambda placement: placement.site_id != "penticton")
    assert (here.site_id, there.site_id) == ("penticton", "lausanne")
    # beside the registry nothing crosses the network between sites
    assert figure(here.costs, price.TRANSFER_BYTES).maximum == 0
    assert figure(there.costs, price.TRANSFER_BYTES).maximum == made.size_bytes
    part = there.component_costs["executable"]
    assert figure(part, price.TRANSFER_BYTES).maximum == made.size_bytes
    assert figure(part, price.MONETARY).maximum == pytest.approx(made.size_bytes / 2**20)
    assert figure(part, price.TRANSFER_SECONDS).maximum == there.prepare_seconds
    # about 5 Mbit/s from Penticton to Lausanne
    assert there.prepare_seconds > made.size_bytes * 8 / 5e6 > here.prepare_seconds
    [said] = of_kind(there.notes, "image")
    assert said.level is Level.INFO
    assert said.text.startswith(f"image {registry.host}/cost/tool:1, ")
    assert f"none of it at lausanne already: {said.values['p50']} ({said.values['p10']} to " in said.text
    assert said.text.endswith("(penticton); measured by 6 iperf3 tests, the newest 4 min old")

    # what podman's store has of it already, by another image, costs nothing
    pull(federation, tmp_path, Executable("base", (f"{registry.host}/cost/base:1",)))
    [there] = [
        each for each in ask(federation, tmp_path, executable).placements if each.site_id == "lausanne"
    ]
    assert figure(there.costs, price.TRANSFER_BYTES).maximum == made.size_bytes - len(base.content)
    assert (
        f"{of_kind(there.notes, 'image')[0].values['there']} of it at lausanne already"
        in texts(of_kind(there.notes, "image"))[0]
    )
    # and really isn't fetched again
    pull(federation, tmp_path, executable)
    log = registry.directory / "log"
    # the registry notes a large blob when it has been sent: that may be after podman has it
    until(lambda: f"GET /v2/cost/tool/blobs/{own.digest}" in log.read_text(), "own layer", log.read_text)
    assert f"GET /v2/cost/tool/blobs/{base.digest}" not in log.read_text()
    # in place: no registry is asked, and nothing is to be moved
    [there] = [
        each for each in ask(federation, tmp_path, executable).placements if each.site_id == "lausanne"
    ]
    assert not of_kind(there.notes, "image")
    assert figure(there.costs, price.TRANSFER_BYTES).maximum == 0
    assert there.prepare_seconds == 1.0


def pull(
    federation: Federation, directory: Path, executable: Executable, site: str = "penticton"
) -> Platform:
    platform = platforms_of(federation, directory)[site]
    job = make_job("localhost/any:1")
    asyncio.run(platform.prepare(Job(job.id, site, executable, 1, 1, job.duration)))
    return platform


def test_a_no_says_of_each_site_why_and_what_would_help(tmp_path: Path, registry: RealRegistry) -> None:
    federation, host = federation_of(tmp_path, registry.host), registry.host
    refusal = ask(federation, tmp_path, Executable("x", (f"{host}/no/such:1", f"{host}/no/other:1")))
    assert not refusal.placements
    notes = of_kind(refusal.notes, "image-not-found")
    assert [(note.values["site"], note.path) for note in notes] == [
        ("penticton", "/executable/image/locations/0"),
        ("penticton", "/executable/image/locations/1"),
        ("lausanne", "/executable/image/locations/0"),
        ("lausanne", "/executable/image/locations/1"),
    ]
    assert notes[0].level is Level.ERROR
    assert notes[0].text.startswith(f"penticton: {host} has no {host}/no/such:1: ")
    assert notes[0].text.endswith(": name a tag or digest that it has")

    arm = registry.push("no/arm", "1", make_image(make_layer({"x": b"arm"}), architecture="arm64"))
    [note, _] = of_kind(
        ask(federation, tmp_path, Executable("x", (f"{host}/no/arm:1",))).notes, "image-platform"
    )
    assert note.text.startswith(
        f"penticton: {host}/no/arm:1 is for linux/arm64, not for linux/amd64: ask for "
    )
    wrong = Executable("x", (f"{host}/no/arm:1",), digest="sha256:" + "cd" * 32, architecture="amd64")
    assert of_kind(ask(federation, tmp_path, wrong).notes, "image-platform")
    registry.push("no/digest", "1", make_image(make_layer({"x": b"digest"})))
    wrong = Executable("x", (f"{host}/no/digest:1",), digest=arm.manifest.digest)
    [note, _] = of_kind(ask(federation, tmp_path, wrong).notes, "image-digest")
    assert ": name the digest sha256:" in note.text
    empty = registry.push("no/program", "1", make_image(make_layer({"x": b"empty"}), Cmd=None))
    silent = Executable("x", (f"{host}/no/program@{empty.manifest.digest}",))
    [note, _] = of_kind(ask(federation, tmp_path, silent).notes, "missing-value")
    assert (note.path, note.text.endswith("names no program to run: give a command")) == (
        "/executable/command",
        True,
    )
    assert ask(federation, tmp_path, replace(silent, command=("x",))).placements


def test_a_registry_that_is_down_is_a_warning_and_no_refusal(tmp_path: Path) -> None:
    down = f"127.0.0.1:{free_port()}"
    offers = ask(federation_of(tmp_path, down), tmp_path, Executable("x", (f"{down}/tool:1",)))
    assert len(offers.placements) == 2
    for placement in offers.placements:
        [note] = of_kind(placement.notes, "image-unknown")
        assert note.level is Level.WARN
        assert note.text.startswith(
            f"{placement.site_id}: it is not known whether the image can be had: 127.0.0.1 can't be asked: "
        )
        # what the site's operator says counts
        assert placement.prepare_seconds == 60.0


def test_a_site_without_a_login_has_no_private_image_and_one_with_it_runs_it(tmp_path: Path) -> None:
    with real_registry(tmp_path / "registry", private=True) as registry:
        made = registry.push("team/tool", "1", make_image(busybox_layer("private")))
        login = auth_file(tmp_path, {registry.host: (USER, PASSWORD)})
        federation = federation_of(tmp_path, registry.host, auth_file=str(login))
        name = f"{registry.host}/team/tool"
        executable = Executable(
            "x", (f"{name}:1",), digest=made.manifest.digest, command=("/bin/cat", "/proc/self/comm")
        )
        offers = ask(federation, tmp_path, executable)
        assert [placement.site_id for placement in offers.placements] == ["penticton"]
        [note] = of_kind(offers.notes, "image-not-public")
        assert note.text.endswith(": make it public, or have the site's operator log in there")
        assert PASSWORD not in repr(offers)

        # another image has the tag by now: the digest is what is run
        registry.push("team/tool", "1", make_image(make_layer({"x": b"another"})))
        job = replace(make_job("x"), site_id="penticton", executable=executable)

        async def whole() -> str:
            platform = platforms_of(federation, tmp_path)["penticton"]
            try:
                await platform.prepare(job)
                await platform.start(job)
                return (await until_exited(platform, job)).stdout
            finally:
                await platform.release(job.id)

        try:
            assert asyncio.run(whole()) == "cat\n"
            with pytest.raises(PlatformError, match=r"the image can't be had: .*team/tool:1: podman pull: "):
                pull(federation, tmp_path, Executable("x", (f"{name}:1",)), "lausanne")
        finally:
            remove_pulled(registry)


@pytest.mark.parametrize(
    ("option", "content", "expected"),
    [
        ("auth_file", "no json", "expected a file as `podman login --authfile` makes it"),
        ("auth_file", None, "can't be read: No such file"),
        ("registries_file", "[[registry]\n", r"expected \[\[registry\]\] tables"),
        ("registries_file", "[[registry]]\ninsecure = true\n", "each has a prefix or a location"),
    ],
)
def test_a_file_that_can_not_be_read_ends_at_start_up(
    tmp_path: Path, option: str, content: str | None, expected: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    site = make_site("perth", 0, 0, kind="podman", options={option: str(file)})
    federation = make_federation(site)
    with pytest.raises(InputError, match=f"site 'perth': option '{option}': {file}: .*{expected}"):
        platforms_of(federation, tmp_path)


def test_who_can_run_an_image_is_said_without_a_request(tmp_path: Path, registry: RealRegistry) -> None:
    registry.push("who/can", "1", make_image(make_layer({"x": b"who"})))
    federation, name = federation_of(tmp_path, registry.host), f"{registry.host}/who/can"
    answers = who_can_run(federation, f"{name}:1", tmp_path)
    assert [(answer.site, answer.can_run) for answer in answers] == [("penticton", True), ("lausanne", True)]
    [first, _] = who_can_run(federation, f"{name}:2", tmp_path)
    assert first.can_run is False
    assert first.reasons[0].startswith(f"penticton: {registry.host} has no {name}:2: ")
    down = f"127.0.0.1:{free_port()}"
    [first, _] = who_can_run(federation_of(tmp_path, down), f"{down}/x:1", tmp_path)
    assert first.can_run is None


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, True), ({"runtime": "apptainer"}, False), ({"engine": ["sudo", "podman"]}, False)],
)
def test_slurm_with_podman_here_has_images_asked_for_as_podman_would(
    tmp_path: Path,
    registry: RealRegistry,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    asked: bool,
) -> None:
    registry.push("slurm/tool", "1", make_image(busybox_layer("slurm")))
    own = tmp_path / ".config" / "containers"
    own.mkdir(parents=True)
    registries_file(tmp_path, registry.host).rename(own / "registries.conf")
    monkeypatch.setenv("HOME", str(tmp_path))
    # whatever this machine lacks of Slurm is none of the question
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sbatch", "squeue", "apptainer", "sudo"):
        (programs / name).touch(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    site = make_site("lausanne", 46.5, 6.6, kind="slurm", options={"staging": str(tmp_path), **options})
    federation = make_federation(replace(site, registries=(registry.host,)))
    offers = ask(federation, tmp_path, Executable("tool", (f"{registry.host}/slurm/tool:1",)))
    assert bool(of_kind(offers.placements[0].notes, "image")) == asked
    gone = ask(federation, tmp_path, Executable("tool", (f"{registry.host}/slurm/nothing:1",)))
    assert bool(of_kind(gone.notes, "image-not-found")) == asked
    assert bool(gone.placements) != asked

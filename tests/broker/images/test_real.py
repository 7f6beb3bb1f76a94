"""Looking for images in a real registry: what is there, what isn't, and who may know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.images import Access, Image, Looked, Trouble, Wanted
from broker.images.looking import TAG_LIFETIME, TROUBLE_LIFETIME, Images
from federation.clock import ManualClock
from tests.broker.conftest import NOW
from tests.broker.images.real import (
    PASSWORD,
    USER,
    Made,
    RealRegistry,
    access_to,
    auth_file,
    make_image,
    make_index,
    make_layer,
    real_registry,
)
from tests.ports import free_port

NOWHERE = "sha256:" + "ab" * 32
BASE = make_layer({"bin/tool": b"#!/bin/sh\n" + b"x" * 5000})


@dataclass(frozen=True)
class Stocked:
    """A registry with `tool:1` for two platforms, `tool:arm`, `windows:1`, `chart:1` and `bare:1`."""

    registry: RealRegistry
    amd: Made
    arm: Made
    index: str

    def name(self, rest: str) -> str:
        return f"{self.registry.host}/{rest}"


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    with real_registry(tmp_path_factory.mktemp("registry")) as registry:
        runs: dict[str, Any] = {
            "User": "1000:1000",
            "Entrypoint": ["/bin/tool"],
            "Env": ["PATH=/bin", "TOKEN=hush"],
        }
        own = make_layer({"data": b"for amd64"})
        amd = registry.push("a/tool", "amd", make_image(BASE, own, **runs))
        arm = registry.push("a/tool", "arm", make_image(BASE, architecture="arm64"))
        index = make_index(arm, amd)
        registry.put("a/tool", "1", index)
        registry.push("a/windows", "1", make_image(BASE, os="windows"))
        registry.push(
            "a/chart", "1", make_image(BASE, config_kind="application/vnd.cncf.helm.config.v1+json")
        )
        yield Stocked(registry, amd, arm, index.digest)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def access(tmp_path: Path, stocked: Stocked) -> Access:
    return access_to(tmp_path, stocked.registry.host)


def look(access: Access, *locations: str, **wanted: str) -> Looked:
    question = Wanted(locations, **wanted), access
    return Images(ManualClock(NOW)).look([question])[question]


def found(access: Access, *locations: str, **wanted: str) -> Image:
    looked = look(access, *locations, **wanted)
    assert looked.image is not None, looked.troubles
    return looked.image


def refused(access: Access, location: str, **wanted: str) -> tuple[Trouble, str, str]:
    looked = look(access, location, **wanted)
    assert looked.image is None
    problem = looked.troubles[location]
    assert "\n" not in str(problem)
    assert looked.is_refused == (problem.trouble is not Trouble.UNKNOWN)
    return problem.trouble, str(problem), problem.remedy


def test_an_image_of_two_platforms_is_the_one_that_is_wanted(stocked: Stocked, access: Access) -> None:
    image = found(access, stocked.name("a/tool:1"))
    assert (image.os, image.architecture, image.digest) == ("linux", "amd64", stocked.amd.manifest.digest)
    assert image.digests == {stocked.index, stocked.amd.manifest.digest, stocked.amd.config.digest}
    assert image.size_bytes == stocked.amd.size_bytes
    assert [layer.diff_id for layer in image.layers] == [layer.diff_id for layer in stocked.amd.layers]
    assert (image.user, image.is_root, image.entrypoint) == ("1000:1000", False, ("/bin/tool",))
    # values of an environment may be secret
    assert image.environment == ("PATH", "TOKEN")
    other = found(access, stocked.name("a/tool:1"), architecture="aarch64")
    assert (other.architecture, other.digest) == ("arm64", stocked.arm.manifest.digest)
    assert other.is_root


@pytest.mark.parametrize("which", ["index", "manifest", "configuration"])
def test_every_digest_that_an_engine_shows_names_the_image(
    stocked: Stocked, access: Access, which: str
) -> None:
    digests = {"index": stocked.index, "manifest": stocked.amd.manifest.digest}
    digest = digests.get(which, stocked.amd.config.digest)
    # the tag means another image: the digest counts, where it is that of a manifest
    tag = "1" if which == "configuration" else "arm"
    image = found(access, stocked.name(f"a/tool:{tag}"), digest=digest)
    assert image.digest == stocked.amd.manifest.digest
    if which != "configuration":
        assert found(access, stocked.name(f"a/tool@{digest}")).digest == stocked.amd.manifest.digest


def test_what_is_not_there_is_said_with_what_would_help(stocked: Stocked, access: Access) -> None:
    host = stocked.registry.host
    assert refused(access, stocked.name("a/tool:2")) == (
        Trouble.GONE,
        f"{host} has no {host}/a/tool:2: manifest unknown",
        "name a tag or digest that it has",
    )
    assert refused(access, stocked.name("no/such:1"))[0] is Trouble.GONE
    trouble, text, remedy = refused(access, stocked.name("a/tool:amd"), digest=NOWHERE)
    assert trouble is Trouble.DIGEST
    assert (
        text == f"{host}/a/tool:amd has the digest {stocked.amd.manifest.digest}, and {NOWHERE} is not there"
    )
    assert remedy == f"name the digest {stocked.amd.manifest.digest}"
    trouble, text, _ = refused(access, stocked.name(f"a/tool@{NOWHERE}"))
    assert (trouble, text) == (Trouble.DIGEST, f"{host} has no {host}/a/tool of digest {NOWHERE}")
    # the digest of a name counts, whatever its tag means
    assert refused(access, stocked.name(f"a/tool:amd@{NOWHERE}"))[0] is Trouble.DIGEST
    pinned = stocked.name(f"a/tool@{stocked.amd.manifest.digest}")
    assert refused(access, pinned, digest=NOWHERE)[0] is Trouble.DIGEST


def test_an_image_for_other_machines_is_refused(stocked: Stocked, access: Access) -> None:
    name = stocked.name("a/tool")
    trouble, text, _ = refused(access, f"{name}:1", architecture="ppc64le")
    assert (trouble, text) == (
        Trouble.PLATFORM,
        f"{name}:1 is for linux/arm64, linux/amd64, not for linux/ppc64le",
    )
    assert refused(access, f"{name}:arm")[:2] == (
        Trouble.PLATFORM,
        f"{name}:arm is for linux/arm64, not for linux/amd64",
    )
    assert refused(access, stocked.name("a/windows:1"))[:2] == (
        Trouble.PLATFORM,
        f"{stocked.name('a/windows:1')} is for windows/amd64, not for linux/amd64",
    )


def test_what_is_no_container_image_is_refused(stocked: Stocked, access: Access) -> None:
    trouble, text, _ = refused(access, stocked.name("a/chart:1"))
    assert trouble is Trouble.TYPE
    assert text.endswith("is no container image, but application/vnd.cncf.helm.config.v1+json")


def test_a_deleted_image_is_gone(tmp_path: Path, stocked: Stocked, access: Access) -> None:
    passing = stocked.registry.push("a/passing", "1", make_image(make_layer({"x": b"passing"})))
    assert found(access, stocked.name("a/passing:1")).digest == passing.manifest.digest
    stocked.registry.delete("a/passing", passing.manifest.digest)
    assert refused(access, stocked.name("a/passing:1"))[0] is Trouble.GONE


def test_who_was_refused_pushes_the_image_and_comes_again(
    stocked: Stocked, access: Access, clock: ManualClock
) -> None:
    images, question = Images(clock), (Wanted((stocked.name("a/coming:1"),)), access)
    assert images.look([question])[question].image is None
    stocked.registry.push("a/coming", "1", make_image(BASE))
    clock.advance(TROUBLE_LIFETIME.total_seconds() + 1)
    assert images.look([question])[question].image is not None


def test_locations_are_tried_in_order(stocked: Stocked, access: Access) -> None:
    down = f"127.0.0.1:{free_port()}/a/tool:1"
    gone, here = stocked.name("a/tool:no"), stocked.name("a/tool:1")
    looked = look(access, gone, here, down)
    assert looked.image is not None
    assert looked.image.location == here
    assert list(looked.troubles) == [gone]
    # one that nobody could be asked about may have it
    assert not look(access_to(access.registries.file.parent, down.split("/")[0]), down).is_refused  # type: ignore[union-attr]
    assert look(access, gone, stocked.name("a/none:1")).is_refused


def test_an_address_inside_is_not_asked(tmp_path: Path, stocked: Stocked) -> None:
    before = stocked.registry.gets()
    trouble, text, _ = refused(access_to(tmp_path), stocked.name("a/tool:1"))
    assert trouble is Trouble.ADDRESS
    assert text == "127.0.0.1 is no public address, and no registry that the site knows"
    assert stocked.registry.gets() == before


def test_a_private_image_is_for_those_with_a_login(tmp_path: Path) -> None:
    with real_registry(tmp_path / "registry", private=True) as registry:
        made = registry.push("team/tool", "1", make_image(BASE))
        name = f"{registry.host}/team/tool:1"
        logins = auth_file(tmp_path, {registry.host: (USER, PASSWORD)})
        images = Images(ManualClock(NOW))
        inside, outside = access_to(tmp_path, registry.host, login=logins), access_to(tmp_path, registry.host)
        wanted = Wanted((name,))
        answers = images.look([(wanted, inside), (wanted, outside)])
        image = answers[wanted, inside].image
        assert image is not None
        assert image.digest == made.manifest.digest
        refusal = answers[wanted, outside].troubles[name]
        assert refusal.trouble is Trouble.PRIVATE
        assert str(refusal) == f"{name} is not for this site to read: authentication required"
        assert refusal.remedy == "make it public, or have the site's operator log in there"
        # what one site knows, another isn't told
        again = Wanted((f"{registry.host}/team/tool@{made.manifest.digest}",))
        assert images.look([(again, inside)])[again, inside].image is not None
        assert images.look([(again, outside)])[again, outside].image is None
        wrong = auth_file(tmp_path, {registry.host: (USER, "guessed")})
        looked = Images(ManualClock(NOW)).look([(wanted, inside)])[wanted, inside]
        assert wrong == logins
        assert looked.troubles[name].trouble is Trouble.PRIVATE
        assert "guessed" not in str(looked)


def test_what_is_known_is_not_asked_again(stocked: Stocked, access: Access, clock: ManualClock) -> None:
    images, question = Images(clock), (Wanted((stocked.name("a/tool:1"),)), access)

    def asked() -> int:
        before = stocked.registry.gets()
        assert images.look([question, question])[question].image is not None
        return stocked.registry.gets() - before

    assert asked() == 3
    assert asked() == 0
    clock.advance(TAG_LIFETIME.total_seconds() + 1)
    # the tag alone: what a digest names doesn't change
    assert asked() == 1


def test_a_registry_that_is_down_is_asked_again_soon(tmp_path: Path, clock: ManualClock) -> None:
    with real_registry(tmp_path / "registry") as registry:
        access, name = access_to(tmp_path, registry.host), f"{registry.host}/late:1"
        images, question = Images(clock), (Wanted((name,)), access)
        registry.process.kill()
        registry.process.wait()
        looked = images.look([question])[question]
        assert looked.troubles[name].trouble is Trouble.UNKNOWN
        assert str(looked.troubles[name]).startswith("127.0.0.1 can't be asked: ")
        assert not looked.is_refused
        clock.advance(TROUBLE_LIFETIME.total_seconds() / 2)
        assert images.look([question])[question] is looked
        clock.advance(TROUBLE_LIFETIME.total_seconds())
        assert images.look([question])[question] is not looked


def test_a_mirror_is_asked_first_and_the_registry_behind_it(tmp_path: Path, stocked: Stocked) -> None:
    down = f"127.0.0.1:{free_port()}"
    text = f"""
[[registry]]
prefix = "docker.io/science"
location = "{stocked.registry.host}/a"
insecure = true
[[registry.mirror]]
location = "{down}/mirror"
insecure = true
[[registry]]
prefix = "quay.io"
location = "quay.io"
[[registry.mirror]]
location = "{stocked.registry.host}"
insecure = true
[[registry]]
location = "blocked.example.org"
blocked = true
"""
    access = access_to(tmp_path, text=text)
    assert found(access, "docker.io/science/tool:1").registry == stocked.registry.host
    image = found(access, "quay.io/a/tool:1")
    assert (image.location, image.registry) == ("quay.io/a/tool:1", stocked.registry.host)
    assert refused(access, "blocked.example.org/tool:1")[:2] == (
        Trouble.BLOCKED,
        "images of blocked.example.org are blocked at this site",
    )

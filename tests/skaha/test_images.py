"""What the registries behind a Skaha are asked, by which login, and what is said of an image's user."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest

from broker.images import Looked, Trouble, looking
from broker.images.looking import Images
from broker.model import Executable, ExecutableKind, Level
from broker.offers.images import judged
from broker.platforms import PullsImages, State, TellsPulls
from broker.platforms.skaha import SkahaPlatform
from broker.platforms.skaha_answers import Event, pull_seconds
from federation.clock import SystemClock
from federation.errors import InputError
from federation.sites import Place
from federation.sites import Site as Here
from tests.broker.images.fake import FakeRegistry, Said, fake_registry, serving
from tests.broker.images.real import Made, make_image, make_layer
from tests.skaha.platform_support import NOTEBOOK, TERMINAL, Site, begun, ended, job_of, live
from tests.skaha.serving import registries_at
from tests.skaha.simulator_app import Fault
from tests.waiting import SECONDS

PRIVATE = "images.canfar.net/private/tool:1"
LAYER = make_layer({"bin/tool": b"x" * 3000})
ROOT, USER = make_image(LAYER), make_image(LAYER, User="jovyan")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does much else takes longer than an offer waits for a registry."""
    monkeypatch.setattr(looking, "LOOK_SECONDS", SECONDS)


def at(site: Site, registry: FakeRegistry, **options: Any) -> SkahaPlatform:
    file = str(registries_at(site.directory, registry.host))
    return site.platform(registries_file=file, **options)


def asked(platform: SkahaPlatform, executable: Executable) -> Looked:
    question = platform.wanted_image(executable)
    assert question is not None
    return Images(SystemClock()).look([question])[question]


def test_the_registry_is_asked_for_the_image_that_skaha_would_run(site: Site) -> None:
    with fake_registry(serving(ROOT)) as registry:
        platform = at(site, registry)
        assert isinstance(platform, PullsImages)
        found = asked(platform, Executable("x", ("docker.io/library/other:1", TERMINAL)))
        assert found.image is not None
        assert found.image.location == TERMINAL
        assert found.image.size_bytes == ROOT.size_bytes
        assert registry.asked[0] == ("/v2/skaha/terminal/manifests/1.1.2", None)
        notebook = Executable("n", ("https://example.org/a.ipynb",), kind=ExecutableKind.NOTEBOOK)
        [wanted, _] = platform.wanted_image(notebook) or (None, None)
        assert wanted is not None
        assert wanted.locations == (NOTEBOOK,)


def test_what_skaha_would_not_run_or_has_not_been_heard_of_is_asked_nowhere(site: Site) -> None:
    answered = threading.Event()
    site.served.app.faults.append(Fault("GET /image", answered, 1))
    unheard = site.platform(learn=False)
    assert unheard.wanted_image(Executable("x", (TERMINAL,))) is None
    answered.set()
    platform = site.platform()
    for location in ("ghcr.io/a/b:1", PRIVATE, "no image"):
        assert platform.wanted_image(Executable("x", (location,))) is None


def test_a_digest_is_looked_for_by_itself(site: Site) -> None:
    [listed] = [image for image in site.simulator.images if image["id"] == TERMINAL]
    listed["digest"] = ROOT.manifest.digest
    with fake_registry(serving(ROOT)) as registry:
        platform = at(site, registry)
        for executable in (
            Executable("x", (TERMINAL,), digest=ROOT.manifest.digest),
            Executable("x", (f"{TERMINAL}@{ROOT.manifest.digest}",)),
        ):
            assert asked(platform, executable).image is not None
    # Skaha's list is older than what the registry has by now
    with fake_registry(serving(USER)) as registry:
        executable = Executable("x", (TERMINAL,), digest=ROOT.manifest.digest)
        looked = asked(at(site, registry), executable)
        assert {each.trouble for each in looked.troubles.values()} == {Trouble.DIGEST}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "registry"
    file.write_text("robot:hunter2\n")
    return file


def test_private_images_are_asked_for_by_the_operator_s_secret(site: Site, secret: Path) -> None:
    expected = "Basic " + base64.b64encode(b"robot:hunter2").decode()

    def private(path: str, headers: dict[str, str]) -> Said | None:
        if headers.get("authorization") == expected:
            return serving(ROOT)(path, headers)
        return Said(401, b"", {"WWW-Authenticate": 'Basic realm="it"'})

    with fake_registry(private) as registry:
        platform = at(site, registry, registry_auth_file=str(secret))
        assert asked(platform, Executable("x", (PRIVATE,))).image is not None
        assert registry.asked[0][1] is None  # not before it is asked for
        secret.write_text("robot:wrong")
        looked = asked(platform, Executable("x", (PRIVATE,)))
        [trouble] = looked.troubles.values()
        assert trouble.trouble is Trouble.PRIVATE
        assert "wrong" not in str(trouble)
        secret.write_text("no secret")
        [trouble] = asked(platform, Executable("x", (PRIVATE,))).troubles.values()
        assert trouble.trouble is Trouble.UNKNOWN
        assert "holds no user:secret" in str(trouble)


@pytest.mark.parametrize(
    ("image", "listed", "level", "words"),
    [
        (ROOT, True, Level.INFO, "runs as root by itself"),
        (ROOT, False, Level.WARN, "runs as root by itself"),
        (USER, True, Level.INFO, "made for its own user 'jovyan'"),
        (USER, False, Level.WARN, "made for its own user 'jovyan'"),
        (make_image(LAYER, User="1000:100"), False, Level.WARN, "'1000:100'"),
        (make_image(LAYER, Entrypoint=["/sbin/init"]), True, Level.WARN, "which must be root"),
    ],
)
def test_whose_the_image_is(
    site: Site, secret: Path, image: Made, listed: bool, level: Level, words: str
) -> None:
    executable = Executable("x", (TERMINAL if listed else PRIVATE,))
    with fake_registry(serving(image)) as registry:
        platform = at(site, registry, registry_auth_file=str(secret))
        looked = asked(platform, executable)
    assert looked.image is not None
    [note] = judged(Here("here", "Here", Place(0, 0)), platform, looked, executable)
    assert (note.kind, note.level) == ("image-user", level)
    assert words in note.text


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        (
            'Successfully pulled image "a/b:1" in 1.5s (1m2.25s including waiting). Image size: 3000 bytes.',
            62.25,
        ),
        ('Successfully pulled image "a/b:1" in 345.6ms (345.6ms including waiting)', 0.3456),
        ('Successfully pulled image "a/b:1" in 1h2m3.5s', 3723.5),
        ('Container image "a/b:1" already present on machine', 0.0),
        ('Successfully pulled image "a/b:10" in 1s', None),
        ('Successfully pulled image "a/b:1" in a while', None),
    ],
)
def test_what_the_kubelet_says_of_a_pull(message: str, seconds: float | None) -> None:
    events = [Event("Normal", "Scheduled", "x"), Event("Normal", "Pulled", message)]
    found = pull_seconds(events, "a/b:1")
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_how_long_a_node_took_to_have_an_image_is_told_once_also_through_a_restart(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        assert isinstance(platform, TellsPulls)
        job = await begun(platform, job_of("sleep", "600"))
        assert (await platform.poll(job)).state is State.RUNNING
        [pulled] = platform.pulled()
        assert (pulled.wanted.locations, pulled.seconds, pulled.there) == ((TERMINAL,), 62.25, frozenset())
        again = site.platform()
        assert (await again.poll(job)).state is State.RUNNING
        assert not again.pulled()
        await platform.release(job.id)
        # one that has ended when it is looked at first
        await ended(platform, job_of("true"))
        assert len(platform.pulled()) == 1

    live(story)


def test_a_session_of_whose_image_nothing_is_known_goes_on(site: Site) -> None:
    async def story() -> None:
        site.served.app.faults.append(Fault("GET /session/", (503, "text/plain", b"busy")))
        platform = site.platform()
        job = await begun(platform, job_of("sleep", "600"))
        assert (await platform.poll(job)).state is State.RUNNING
        assert not platform.pulled()
        site.served.app.faults.clear()
        await platform.release(job.id)

    live(story)


def test_the_operator_says_what_pulls_get(site: Site) -> None:
    assert site.platform().outside_bits_per_second() is None
    assert site.platform(outside_rate="200 Mbit/s").outside_bits_per_second() == 200e6
    with pytest.raises(InputError, match=r"option 'outside_rate': .*fast"):
        site.platform(outside_rate="fast")
    with pytest.raises(InputError, match=r"option 'registries_file': .*/none"):
        site.platform(registries_file="/none")

"""What can be made inside of containers, tried for real: the configurations that sites have."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.model import Executable, Job, Note
from broker.nesting import Kind, Nesting, Trial
from broker.nesting.probe import executable_of, read_trial, try_nesting
from broker.nesting.remedies import UNMASK, remedy
from broker.platforms import PlatformError, State, Status
from fairlead.cli import build
from federation.errors import InputError
from federation.sites import Place, Platform, Site
from tests.broker.nesting.configurations import CONFIGURATIONS, configured, engine_socket, with_socket
from tests.broker.nesting.image import missing, nesting_image
from tests.broker.podman_support import podman
from tests.contracts.platform_support import make_platform

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SITE = Site("here", "Here", Place(0, 0), platform=Platform("podman", 4, 8, 10))
FIRST = [Kind.USERNS, Kind.BWRAP_NO_PROC]
OWN_PROC = [Kind.USERNS_PROC, Kind.BWRAP]
# what works, from the least that a container may do to the most
EXPECTED = {
    "default": FIRST,
    "kubernetes": FIRST,
    "unmask": [*FIRST, *OWN_PROC, Kind.PODMAN_SHARED],
    "capabilities": [*FIRST, *OWN_PROC, Kind.PODMAN_SHARED],
    "no-unshare": [],
}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with nesting_image() as name:
        yield name


def tried(root: Path, image: str, privileged: bool = False) -> Nesting:
    platform = make_platform("podman", root, {"stop_seconds": 0.0, "privileged": privileged})
    return asyncio.run(try_nesting(platform, SITE, image, NOW, 600.0))


def working(trial: Trial | str) -> set[Kind]:
    assert isinstance(trial, Trial), trial
    return {kind for kind, attempt in trial.attempts.items() if attempt.works}


def said(trial: Trial | str, kind: Kind) -> str:
    assert isinstance(trial, Trial), trial
    return trial.attempts[kind].said


@pytest.mark.podman
@pytest.mark.parametrize("name", EXPECTED)
def test_what_works_in_each_configuration(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with configured(CONFIGURATIONS[name], tmp_path / "bin", monkeypatch):
        found = tried(tmp_path, image)
    # what podman can do as it comes depends on the machine's control groups
    assert working(found.plain) - {Kind.PODMAN} == set(EXPECTED[name])
    assert found.privileged == "here runs no privileged containers"
    assert found.plain.facts["kernel"]
    if name == "default":
        assert said(found.plain, Kind.BWRAP) == (
            "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"
        )
        assert "proc" in said(found.plain, Kind.PODMAN)
        assert remedy(Kind.BWRAP, found.plain.attempts[Kind.BWRAP]) == UNMASK
        assert remedy(Kind.PODMAN, found.plain.attempts[Kind.PODMAN]) == UNMASK
    if name == "no-unshare":
        assert said(found.plain, Kind.USERNS) == "unshare: unshare failed: Function not implemented"
        assert "seccomp" in remedy(Kind.USERNS, found.plain.attempts[Kind.USERNS])
    assert not podman("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()


@pytest.mark.podman
def test_an_option_of_the_site_lets_containers_mount_proc(image: str, tmp_path: Path) -> None:
    options = {"stop_seconds": 0.0, "engine_run": ["--security-opt", "unmask=ALL"]}
    platform = make_platform("podman", tmp_path, options)
    found = asyncio.run(try_nesting(platform, SITE, image, NOW, 600.0))
    assert working(found.plain) - {Kind.PODMAN} == set(EXPECTED["unmask"])


def test_options_that_are_no_texts_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="option 'engine_run': expected a list of texts"):
        make_platform("podman", tmp_path, {"engine_run": [1]})


@pytest.mark.podman
def test_everything_inside_works_in_privileged_containers(image: str, tmp_path: Path) -> None:
    found = tried(tmp_path, image, privileged=True)
    assert working(found.privileged) >= set(Kind) - {Kind.SOCKET}
    assert working(found.plain) == set(FIRST)


@pytest.mark.podman
def test_an_engine_s_socket_gives_containers_beside(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        engine_socket(tmp_path) as path,
        configured(with_socket(path), tmp_path / "bin", monkeypatch),
    ):
        found = tried(tmp_path / "work", image)
    assert working(found.plain) == {*FIRST, Kind.SOCKET}


@pytest.mark.podman
def test_what_the_image_has_not_is_not_tried(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    with nesting_image(("sh", "unshare", "true", "mkdir", "rm")) as image:
        found = tried(tmp_path, image)
    assert found.plain.attempts[Kind.USERNS].works
    assert found.plain.attempts[Kind.BWRAP].works is None
    assert found.plain.attempts[Kind.PODMAN].said == "the image has no podman"


CATALOGUE = """
name = "nesting"
[sites.perth]
name = "Perth"
latitude = -31.95
longitude = 115.86
platform = {{ kind = "{kind}", cores = 8, memory = "8 GiB", storage = "1 GiB" }}
"""


def command(tmp_path: Path, kind: str, *arguments: str) -> tuple[int, str]:
    catalogue = tmp_path / "sites.toml"
    catalogue.write_text(CATALOGUE.format(kind=kind))
    where = ["--catalogue", str(catalogue), "--database", f"sqlite:///{tmp_path / 'nesting.db'}"]
    done = CliRunner().invoke(build("site"), ["site", "nesting", *arguments, *where])
    return done.exit_code, done.stdout + (str(done.exception) if done.exception else "")


@pytest.mark.podman
def test_the_command_tries_it_and_keeps_what_it_found(image: str, tmp_path: Path) -> None:
    code, _ = command(tmp_path, "podman", "perth", "--image", image, "--no-keep")
    assert code == 0
    assert json.loads(command(tmp_path, "podman", "--json")[1]) == []
    code, text = command(tmp_path, "podman", "perth", "--image", image)
    assert code == 0
    assert "unmask=ALL" in text
    code, text = command(tmp_path, "podman", "--json")
    [known] = json.loads(text)
    works = {row["kind"]: row["works"] for row in known["found"] if row["container"] == "plain"}
    assert known["site"] == "perth"
    assert works["userns"] is True
    assert works["bwrap"] is False


def test_a_site_on_which_nothing_runs_says_so(tmp_path: Path) -> None:
    _, text = command(tmp_path, "simulated", "perth", "--image", "example.org/any:1")
    assert "site perth: the probe said nothing of containers" in text


def test_wrong_sites_and_missing_images_are_named(tmp_path: Path) -> None:
    assert (
        "no site is called 'sydney': expected perth"
        in command(tmp_path, "simulated", "sydney", "--image", "a")[1]
    )
    assert "--image: expected an image" in command(tmp_path, "simulated", "perth")[1]
    assert "expected with the SITE" in command(tmp_path, "simulated", "--image", "a")[1]


class Endless:
    """A platform whose containers never end."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.polled = asyncio.Event()

    def check(self, executable: Executable) -> list[Note]:
        return []

    async def prepare(self, job: Job) -> None:
        pass

    start = prepare

    async def poll(self, job: Job) -> Status:
        self.polled.set()
        return Status(State.RUNNING)

    async def release(self, job_id: str) -> None:
        await asyncio.sleep(0)
        self.released.append(job_id)


def test_a_probe_that_does_not_end_is_given_up_and_removed() -> None:
    endless = Endless()
    with pytest.raises(PlatformError, match=r"site here: the probe wasn't done within 0\.01 s"):
        asyncio.run(try_nesting(endless, SITE, "a", NOW, 0.01))  # type: ignore[arg-type]
    assert len(endless.released) == 1


def test_an_interrupted_probe_is_removed() -> None:
    endless = Endless()

    async def interrupted() -> None:
        trying = asyncio.create_task(try_nesting(endless, SITE, "a", NOW, 60.0))  # type: ignore[arg-type]
        await endless.polled.wait()
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying

    asyncio.run(interrupted())
    assert len(endless.released) == 1


def test_a_report_that_was_cut_off_is_none() -> None:
    whole = Status(State.EXITED, 0, "fairlead-nesting userns 0 \nfairlead-nesting socket 1 none\n")
    assert set(read_trial(whole, "here").attempts) == {Kind.USERNS, Kind.SOCKET}
    half = replace(whole, stdout="fairlead-nesting userns 0 \n", stderr="sh: out of memory\n", exit_code=2)
    with pytest.raises(PlatformError, match=r"site here: .* \(exit code 2\): sh: out of memory"):
        read_trial(half, "here")


def test_what_is_said_is_one_line_that_a_terminal_can_show() -> None:
    said = "fairlead-nesting userns 1 \x1b[31mno\x07" + "o" * 1000 + "\nfairlead-nesting socket 1 none\n"
    found = read_trial(Status(State.EXITED, 0, said), "here").attempts[Kind.USERNS].said
    assert found.startswith(" [31mno oo")
    assert len(found) == 300


def test_the_probe_is_for_the_machines_of_the_site() -> None:
    arm = replace(SITE, platform=replace(SITE.platform, architectures=("arm64",)))  # type: ignore[type-var]
    assert executable_of("a", arm).architecture == "arm64"

"""Can this Skaha run that? Answered by what it said last, with all the reasons."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.model import (
    Executable,
    ExecutableKind,
    Level,
    MinMax,
    Mount,
    MountMode,
    Note,
    Port,
    Request,
    StorageItem,
)
from broker.platforms.skaha import SkahaPlatform
from federation.sites import Platform as SitePlatform
from tests.skaha.platform_support import CONTRIBUTED, NOTEBOOK, TERMINAL, Site
from tests.skaha.simulator_app import Fault

DIGEST = "sha256:" + "ab" * 32


def executable(*locations: str, **more: Any) -> Executable:
    return Executable("test", locations or (TERMINAL,), **more)


def kinds(platform: SkahaPlatform, asked: Executable) -> list[str]:
    return [note.kind for note in platform.check(asked)]


def request_of(site: Site, asked: Executable | None = None, **more: Any) -> Request:
    now = site.simulator.now()
    parts: dict[str, Any] = {
        "cores": MinMax(1),
        "memory_gib": MinMax(1),
        "storage": (),
        "data": (),
        "mounts": (),
        "duration": timedelta(hours=1),
        "earliest_start": now,
        "latest_start": now + timedelta(hours=1),
    }
    return Request(asked or executable(), **(parts | more))


def said(notes: Any, level: Level = Level.ERROR) -> list[Note]:
    return [note for note in notes if note.level is level]


def test_before_it_was_asked_and_while_it_is_nothing_is_promised(site: Site) -> None:
    answered = threading.Event()
    site.served.app.faults.append(Fault("GET /image", answered, 1))
    platform = site.platform(learn=False)
    [note] = platform.check(executable())  # at once, though it doesn't answer
    assert note.kind == "service-unknown"
    assert "it is being asked" in note.text
    answered.set()
    platform.learn()
    assert not platform.check(executable())


def test_what_it_said_last_counts_through_a_restart_but_not_for_another_service(site: Site) -> None:
    site.platform()
    site.served.app.faults.append(Fault("GET /image", (503, "text/plain", b"busy")))
    assert not site.platform(learn=False).check(executable())
    other = site.platform(learn=False, url=site.served.url + "/")
    assert not other.check(executable())
    elsewhere = site.platform(learn=False, url=site.served.url.replace("127.0.0.1", "localhost"))
    assert kinds(elsewhere, executable()) == ["service-unknown"]
    site.simulator.advance(3700)
    assert kinds(site.platform(learn=False), executable()) == ["service-unknown"]


def test_what_it_said_last_counts_until_that_is_too_old(site: Site) -> None:
    platform = site.platform(refresh_seconds=0.0)
    site.served.app.faults.append(Fault("GET /image", (503, "text/plain", b"busy")))
    site.simulator.advance(3000)
    assert not platform.check(executable())
    site.simulator.advance(1000)
    assert kinds(platform, executable()) == ["service-unknown"]
    site.served.app.faults.clear()
    platform.learn()
    assert not platform.check(executable())


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        (executable("ghcr.io/x/y:1"), "image-registry", "runs images of images.canfar.net alone"),
        (executable("busybox"), "image-registry", "busybox is of docker.io"),
        (executable("images.canfar.net/skaha/none:1"), "image-absent", "doesn't list"),
        (executable("images.canfar.net/skaha/terminal"), "image-absent", "doesn't list"),
        (
            executable(NOTEBOOK, ports=(Port(5000, "HTTP"),)),
            "image-type",
            "headless and notebook sessions, not",
        ),
        (executable(CONTRIBUTED), "image-type", "for contributed sessions, not for headless ones"),
        (executable(digest=DIGEST), "image-digest", f"not {DIGEST}"),
        (executable(f"{TERMINAL}@{DIGEST}"), "image-digest", f"not {DIGEST}"),
        (executable("Not An Image"), "image-location", "is not the name of an image"),
        (executable(privileged=True), "privileged", "no privileged containers"),
        (executable(ports=(Port(80),)), "ports", "one port of a container, 5000"),
        (executable(CONTRIBUTED, ports=(Port(5000), Port(5000))), "ports", "one port"),
        (executable(CONTRIBUTED, ports=(Port(5000, "HTTP"),), command=("x",)), "not-passed-on", "no command"),
        (executable(command=("a b",)), "not-passed-on", "splits arguments at spaces"),
        (executable(entrypoint="a b"), "not-passed-on", "an entrypoint of printable ASCII"),
        (executable(environment={"A": "x=y"}), "not-passed-on", "loses the environment variable A:"),
        (
            executable(environment={"HOME": "/x"}),
            "not-passed-on",
            "sets the environment variable HOME itself",
        ),
        (executable(environment={"a-b": "1"}), "not-passed-on", "no environment variable of that name"),
        (
            Executable("s", ("library://x/y:1",), kind=ExecutableKind.SINGULARITY),
            "singularity-image",
            "expected docker://",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_not(site: Site, asked: Executable, kind: str, words: str) -> None:
    notes = site.platform().check(asked)
    assert [note.kind for note in notes] == [kind]
    assert words in notes[0].text
    assert notes[0].path is not None
    assert "x=y" not in str(notes[0])


def test_what_it_lists_it_runs_by_tag_by_digest_and_by_the_first_location_that_does(site: Site) -> None:
    platform = site.platform()
    [listed] = [image for image in site.simulator.images if image["id"] == TERMINAL]
    name, digest = TERMINAL.partition(":")[0], listed["digest"]
    for asked in (
        executable(),
        executable(digest=digest),
        executable(f"{TERMINAL}@{digest}"),
        executable(f"{name}@{digest}"),
        executable("docker.io/library/x:1", TERMINAL),
        executable(CONTRIBUTED, ports=(Port(5000, "HTTP"),)),
        Executable("s", (f"docker://{TERMINAL}",), kind=ExecutableKind.SINGULARITY),
        executable(entrypoint="sh", command=("-c", "env"), environment={"A": "b c"}),
    ):
        assert not platform.check(asked), asked


def test_with_the_registry_s_credentials_unlisted_images_run_but_not_by_digest(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "registry").write_text("robot:hunter2")
    platform = site.platform(registry_auth_file=str(tmp_path / "registry"))
    private = "images.canfar.net/private/tool:1"
    assert not platform.check(executable(private))
    assert kinds(platform, executable(private, digest=DIGEST)) == ["image-digest"]


def test_with_staging_a_script_says_what_arguments_can_t_if_the_entrypoint_is_known(site: Site) -> None:
    platform = site.with_staging().platform()
    odd = {"command": ("a b",), "environment": {"A": "x=y", "HOME": "/x"}}
    [note] = platform.check(executable(**odd))
    assert (note.kind, note.path) == ("not-passed-on", "/executable/entrypoint")
    assert not platform.check(executable(entrypoint="sh", **odd))
    assert kinds(platform, executable(entrypoint="sh", command=("a\0b",))) == ["not-passed-on"]


# whole requests


def test_sizes_are_its_own_and_said_so(site: Site) -> None:
    platform = site.platform()
    assert [note.kind for note in platform.check_request(request_of(site))] == ["space-free"]
    odd = request_of(site, cores=MinMax(3), memory_gib=MinMax(5))
    note, _ = platform.check_request(odd)
    assert (note.kind, note.level) == ("size-rounded", Level.INFO)
    assert "3 cores and 6 GiB" in note.text
    bounded = platform.bounded(SitePlatform("skaha", 500, 2000, 0, max_duration_seconds=1e9))
    assert (bounded.max_cores, bounded.max_memory_gib) == (16, 64)
    assert bounded.max_duration_seconds == 14 * 86_400
    small = platform.bounded(SitePlatform("skaha", 4, 8, 0, max_cores=2))
    assert (small.max_cores, small.max_memory_gib) == (2, 8)


def test_what_is_free_is_what_nobody_has_asked_for(site: Site) -> None:
    site.simulator.capacity, site.simulator.others = (100.0, 400.0), (97.0, 100.0)
    platform = site.platform()
    [note] = platform.check_request(request_of(site, cores=MinMax(3)))
    assert (note.kind, note.level) == ("space-free", Level.INFO)
    assert "had 3 cores and 300 GiB free at" in note.text
    [note] = platform.check_request(request_of(site, cores=MinMax(3, 8)))
    assert (note.kind, note.level) == ("space-free", Level.WARN)
    assert "a session with more would have to wait there" in note.text
    [note] = said(platform.check_request(request_of(site, cores=MinMax(4))))
    assert note.kind == "no-room"
    assert "had 3 cores and 300 GiB free at" in note.text
    later = site.simulator.now() + timedelta(days=1)
    tomorrow = request_of(site, cores=MinMax(4), earliest_start=later, latest_start=later)
    assert not said(platform.check_request(tomorrow))
    [note] = said(platform.check_request(tomorrow), Level.WARN)
    assert "takes no reservations" in note.text


def test_without_its_metrics_it_is_said_that_nothing_is_known_of_what_is_free(site: Site) -> None:
    site.simulator.metrics_up = False
    platform = site.platform()
    assert not platform.check(executable())
    [note] = platform.check_request(request_of(site))
    assert (note.kind, note.level) == ("space-unknown", Level.WARN)
    assert "status 503: platform metrics unavailable" in note.text


def test_interactive_sessions_are_counted_before_skaha_refuses(site: Site) -> None:
    for _ in range(3):
        site.simulator.create("ann", {"name": ["n"], "image": [NOTEBOOK], "type": ["notebook"]}, None)
    platform = site.platform()
    asked = executable(CONTRIBUTED, ports=(Port(5000, "HTTP"),))
    [note] = said(platform.check_request(request_of(site, asked)))
    assert "3 interactive sessions of ours already, and allows 3" in note.text
    assert not said(platform.check_request(request_of(site)))


def mounted(path: str, mode: MountMode = MountMode.READWRITE) -> dict[str, Any]:
    storage = StorageItem("uuid-1", "results", MinMax(1))
    return {"storage": (storage,), "mounts": (Mount(path, mode, "uuid-1"),)}


def test_without_staging_data_and_storage_are_a_no(site: Site) -> None:
    [note] = said(site.platform().check_request(request_of(site, **mounted("/out"))))
    assert (note.kind, note.path, note.level) == ("no-staging", "/storage", Level.ERROR)
    assert "would set the platform's option staging" in note.text


@pytest.mark.parametrize(
    ("path", "asked", "possible"),
    [
        ("/out", executable(entrypoint="sh", command=("-c", "ls > /out/x")), True),
        ("/out", executable(command=("--to=/out",)), True),
        ("/out", executable(environment={"TO": "/out"}), True),
        ("/out", executable(entrypoint="sh", command=("/outer",)), False),
        ("/out", executable(entrypoint="sh", command=("/x/out",)), False),
        ("/out", executable(), False),
        ("/tmp/out", executable(entrypoint="sh"), True),
        ("/tmp/out", executable(), False),  # who links, where the entrypoint isn't known?
        ("/tmpout", executable(entrypoint="sh"), False),
    ],
)
def test_where_things_can_be_mounted(site: Site, path: str, asked: Executable, possible: bool) -> None:
    notes = site.with_staging().platform().check_request(request_of(site, asked, **mounted(path)))
    assert (not said(notes)) is possible
    for note in said(notes):
        assert f"mounts nothing at {path}: name that path in the command" in note.text


def test_read_only_is_a_wish_there_and_said_so(site: Site) -> None:
    asked = executable(command=("/in",))
    notes = (
        site.with_staging()
        .platform()
        .check_request(request_of(site, asked, **mounted("/in", MountMode.READONLY)))
    )
    assert [note.kind for note in said(notes, Level.INFO)] == ["mount", "space-free"]


def test_deep_places_in_a_storage_can_t_be_had(site: Site) -> None:
    asked = executable(command=("/in",))
    request = request_of(site, asked, **mounted("/in"))
    deep = replace(request, mounts=(*request.mounts, Mount("/in/a/b", MountMode.READONLY, "uuid-2")))
    near = replace(request, mounts=(*request.mounts, Mount("/in/a", MountMode.READONLY, "uuid-2")))
    platform = site.with_staging().platform()
    assert [note.values["path"] for note in said(platform.check_request(deep))] == ["/in/a/b"]
    assert not said(platform.check_request(near))

"""Whatever Skaha does to a request, each call ends in an error that says what, and nothing of it stays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import jwt
import pytest

from broker.model import Job
from broker.platforms import PlatformError, State, Unreachable
from broker.platforms.skaha import SkahaPlatform
from broker.platforms.skaha_launch import session_name
from tests.contracts.platform_support import until_exited
from tests.ports import free_port
from tests.skaha.platform_support import TERMINAL, Site, begun, job_of, live, state
from tests.skaha.simulator_app import Fault
from tests.waiting import until

HTML = (200, "text/html", b"<html><body>Please sign in</body></html>")
FAULTS: dict[str, tuple[str | tuple[int, str, bytes], type[PlatformError], str]] = {
    "slow": ("slow", Unreachable, "timed out"),
    "cut": ("cut", Unreachable, "can't be asked: "),
    "lost": ("lost", Unreachable, "can't be asked: "),
    "401": (
        (401, "text/plain", b"Unauthorized"),
        PlatformError,
        "doesn't take our credentials: the token may",
    ),
    "403": (
        (403, "text/plain", b"forbidden"),
        PlatformError,
        "denies this to our account (the account may not",
    ),
    "429": ((429, "text/plain", b"slowly"), Unreachable, "fails with status 429: slowly"),
    "500": ((500, "text/plain", b"a\nb"), Unreachable, "fails with status 500: a b"),
    "503": ((503, "text/html", b"<html>down</html>"), Unreachable, "fails with status 503"),
    "redirect": ((302, "text/plain", b""), PlatformError, "refuses with status 302"),
    "html": (HTML, Unreachable, ""),
    "text": ((200, "text/plain", b"\xff\xfe"), Unreachable, ""),
    "object": ((200, "application/json", b'{"a": [1]}'), Unreachable, ""),
}
LIST = "GET /session"
Call = Callable[[SkahaPlatform, Job], Awaitable[object]]
CALLS: dict[str, tuple[str, Call]] = {
    "prepare": ("GET /image", lambda platform, job: platform.prepare(job)),
    "start": ("POST /session", lambda platform, job: platform.start(job)),
    "start, looking first": (LIST, lambda platform, job: platform.start(job)),
    "poll": (LIST, lambda platform, job: platform.poll(job)),
    "stop": (LIST, lambda platform, job: platform.stop(job)),
    "release": (LIST, lambda platform, job: platform.release(job.id)),
}


# what tests/contracts/test_platforms_faults.py does to each platform that prepares or is polled
SHARED = ("slow", "cut", "401", "403", "html")


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (call, fault)
        for call in CALLS
        for fault in FAULTS
        if call not in ("prepare", "poll") or fault not in SHARED
    ],
)
def test_each_fault_of_each_call_is_named_and_leaves_nothing(site: Site, call: str, fault: str) -> None:
    on, do = CALLS[call]
    how, error, words = FAULTS[fault]

    async def story() -> None:
        patient = site.platform(patience_seconds=0.0)
        platform = site.hasty(patience_seconds=0.0) if fault == "slow" else patient
        job = job_of("sleep", "600")
        site.served.app.faults.append(Fault(on, how))
        with pytest.raises(error) as raised:
            await do(platform, job)
        assert words in str(raised.value)
        assert str(raised.value).startswith("site here: ")
        assert "\n" not in str(raised.value)
        assert "tok123" not in str(raised.value)
        if error is PlatformError:
            assert not isinstance(raised.value, Unreachable)
        site.served.app.faults.clear()
        if call not in ("start", "release"):
            assert not site.posts()
            return
        # it works again, and then nothing is left there or here, whatever had become of that call
        quick = site.platform()
        await begun(quick, job)
        assert await state(quick, job) is State.RUNNING
        assert len(site.simulator.pods) == 1
        site.simulator.advance(61)  # what may have been made is there by now
        await quick.release(job.id)
        assert all(pod.deleted for pod in site.simulator.pods.values())
        assert not site.left()

    live(story)


@pytest.mark.parametrize("fault", ["slow", "cut", "401", "500"])
def test_a_session_that_can_t_be_ended_is_tried_again(site: Site, fault: str) -> None:
    async def story() -> None:
        patient = site.platform()
        job = await begun(patient, job_of("sleep", "600"))
        platform = site.hasty() if fault == "slow" else patient
        site.served.app.faults.append(Fault("DELETE", FAULTS[fault][0]))
        for call in (platform.stop(job), platform.release(job.id)):
            with pytest.raises(PlatformError):
                await call
        site.served.app.faults.clear()
        again = site.platform()
        await again.stop(job)
        assert (await again.poll(job)).state is State.EXITED
        await again.release(job.id)

    live(story)


def test_output_that_can_t_be_had_is_no_reason_to_forget_the_end(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        job = await begun(platform, job_of("true"))
        site.served.app.faults.append(Fault(f"GET /session/{site.pod_of(job).id}?view=", "cut"))
        while (status := await platform.poll(job)).state is not State.EXITED:
            pass
        assert status.exit_code == 0

    live(story)


def test_nobody_there(site: Site) -> None:
    port = free_port()
    platform = site.platform(learn=False, url=f"http://127.0.0.1:{port}/skaha/v1")

    async def story() -> None:
        with pytest.raises(Unreachable, match=rf"Skaha at http://127.0.0.1:{port}/skaha/v1 can't be asked: "):
            await platform.poll(job_of())
        with pytest.raises(Unreachable):
            platform.learn()
        [note] = platform.check(job_of().executable)
        assert "can't be asked: " in note.text

    live(story)


def test_a_token_that_has_expired_is_said_to_have(site: Site) -> None:
    token = jwt.encode({"exp": 1_700_000_000}, "k" * 32, "HS256")
    (site.directory / "old").write_text(token)
    platform = site.platform(learn=False, token_file=str(site.directory / "old"))
    with pytest.raises(PlatformError, match="the token expired at 2023-11-14T22:13:20Z") as raised:
        platform.learn()
    assert token not in str(raised.value)


def test_a_token_is_read_again_for_each_request(site: Site) -> None:
    file = site.directory / "renewed"
    platform = site.platform(learn=False, token_file=str(file))
    with pytest.raises(PlatformError, match="the token can't be read from"):
        platform.learn()
    for text, words in (("", "holds no token"), ("two words", "holds no token"), ("wrong", "credentials")):
        file.write_text(text)
        with pytest.raises(PlatformError, match=words) as raised:
            platform.learn()
        assert not text or text not in str(raised.value)
    file.write_text("tok123\n")
    platform.learn()


def test_an_account_outside_the_group_is_told(site: Site) -> None:
    site.simulator.outsiders.add("ann")
    with pytest.raises(PlatformError, match="Not authorized to use the skaha system"):
        site.platform()


@pytest.mark.parametrize("text", ["robot", "robot:a:b", ":x", "x:"])
def test_registry_credentials_that_skaha_would_refuse_are_refused_first(
    site: Site, tmp_path: Path, text: str
) -> None:
    (tmp_path / "registry").write_text(text)

    async def story() -> None:
        platform = site.platform(registry_auth_file=str(tmp_path / "registry"))
        with pytest.raises(PlatformError, match="holds no user:secret"):
            await platform.start(job_of())
        assert not site.posts()

    live(story)


def test_a_cancelled_start_leaves_nothing_that_release_would_not_remove(site: Site) -> None:
    async def story() -> None:
        platform, job, answered = site.platform(), job_of("sleep", "600"), threading.Event()
        site.served.app.faults.append(Fault("POST /session", answered, 1))
        await platform.prepare(job)
        starting = asyncio.create_task(platform.start(job))
        await asyncio.to_thread(until, site.posts, "a session that is asked for")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        answered.set()
        await platform.release(job.id)
        assert [pod.deleted is not None for pod in site.simulator.pods.values()] == [True]
        assert await state(platform, job) is State.ABSENT

    live(story)


def test_a_session_that_comes_when_nobody_waits_for_it_any_more(site: Site) -> None:
    async def story() -> None:
        job = job_of("true")
        site.served.app.faults.append(Fault("POST /session", (503, "text/plain", b"busy"), 1))
        platform = site.platform()
        with pytest.raises(Unreachable):
            await platform.start(job)
        await platform.start(job)
        await until_exited(platform, job)
        with pytest.raises(Unreachable, match="nobody knows yet whether it was made"):
            await platform.release(job.id)
        # now the first one comes after all
        given = {"name": [session_name(job.id)], "image": [TERMINAL], "cmd": ["sleep"], "args": ["600"]}
        late = site.simulator.pods[site.simulator.create("ann", given, None)]
        await site.platform().release(job.id)
        assert late.deleted is not None

    live(story)


def test_a_refusal_doesn_t_make_forget_what_may_still_come(site: Site) -> None:
    async def story() -> None:
        job = job_of("true")
        site.served.app.faults.append(Fault("POST /session", (503, "text/plain", b"busy"), 1))
        site.served.app.faults.append(Fault("POST /session", (400, "text/plain", b"no"), 1))
        platform = site.platform()
        with pytest.raises(Unreachable):
            await platform.start(job)
        with pytest.raises(PlatformError, match="refuses with status 400"):
            await platform.start(job)
        with pytest.raises(Unreachable, match="nobody knows yet whether it was made"):
            await platform.release(job.id)
        given = {"name": [session_name(job.id)], "image": [TERMINAL], "cmd": ["sleep"], "args": ["600"]}
        late = site.simulator.pods[site.simulator.create("ann", given, None)]
        site.simulator.advance(61)
        await site.platform().release(job.id)
        assert late.deleted is not None
        assert not site.left()

    live(story)


def test_an_answer_that_nobody_can_read_may_have_made_a_session(site: Site) -> None:
    """What breaks off, or is more than is read, says nothing of what was done."""

    async def story() -> None:
        job = job_of("true")
        site.served.app.faults.append(Fault("POST /session", (200, "text/plain", b"[" * 100_000), 1))
        with pytest.raises(Unreachable, match="something else than a session's id"):
            await site.platform().start(job)
        with pytest.raises(Unreachable, match="nobody knows yet whether it was made"):
            await site.platform().release(job.id)

    live(story)


def test_what_a_client_keeps_secret_is_in_no_words_however_they_are_quoted(site: Site) -> None:
    async def story() -> None:
        said = b'bad env=PASS%3Ds3cret%2Fone "PASS=\\"s3cret/one" s3cret/one'
        site.served.app.faults.append(Fault("POST /session", (400, "text/plain", said), 1))
        platform, job = site.platform(), job_of("true", environment={"PASS": "s3cret/one"})
        with pytest.raises(PlatformError, match="refuses with status 400") as raised:
            await begun(platform, job)
        assert "s3cret" not in str(raised.value)

    live(story)

"""A session at a Skaha, which forgets, lags, and knows no end: what is known of it all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from broker.model import Port
from broker.platforms import State, Unreachable
from tests.contracts.platform_support import until_exited
from tests.skaha.platform_support import CONTRIBUTED, Site, begun, ended, job_of, live, state
from tests.skaha.simulator_app import Fault


def test_how_it_ended_is_known_longer_than_skaha_knows_it(site: Site) -> None:
    async def story() -> None:
        job = job_of("echo", "done")
        status = await ended(site.platform(), job)
        assert (status.exit_code, status.stdout) == (0, "done\n")
        site.simulator.advance(3700)
        again = site.platform()
        assert await again.poll(job) == status
        assert not site.simulator.pods
        # and it isn't begun anew
        await again.start(job)
        assert len(site.posts()) == 1

    live(story)


def test_one_that_ended_while_nobody_looked_for_long(site: Site) -> None:
    async def story() -> None:
        job = await begun(site.platform(), job_of("true"))
        assert site.pod_of(job).process is not None
        site.pod_of(job).process.wait(60)  # type: ignore[union-attr]
        site.simulator.list_sessions("ann", None, None, False)
        site.simulator.advance(2 * 3600)
        status = await site.platform().poll(job)
        assert (status.state, status.exit_code) == (State.EXITED, None)
        assert "how it ended isn't known" in (status.problem or "")

    live(story)


def test_one_that_somebody_else_removed_is_absent(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        job = await begun(platform, job_of("sleep", "600"))
        site.simulator.advance(300)
        assert await state(platform, job) is State.RUNNING
        site.simulator.delete("ann", site.pod_of(job).id)
        assert await state(platform, job) is State.RUNNING  # Terminating: it may still write
        site.simulator.advance(5)
        assert await state(platform, job) is State.ABSENT
        # the supervisor then begins it again, if there is time
        await platform.start(job)
        assert await state(platform, job) is State.RUNNING

    live(story)


def test_a_list_that_lags_behind_is_no_end(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        job = await begun(platform, job_of("sleep", "600"))
        site.simulator.hidden.add(site.pod_of(job).id)
        assert await state(platform, job) is State.RUNNING
        site.simulator.hidden.clear()
        assert await state(platform, job) is State.RUNNING

    live(story)


def test_what_runs_is_asked_for_once_for_all(site: Site) -> None:
    async def story() -> None:
        platform = site.platform(poll_seconds=300.0, log_seconds=3600.0)
        jobs = [await begun(platform, job_of("sleep", "600")) for _ in range(5)]
        for job in jobs:
            assert await state(platform, job) is State.RUNNING
        before = len(site.served.app.requests)
        for job in jobs:
            assert await state(platform, job) is State.RUNNING
        assert len(site.served.app.requests) == before
        site.simulator.advance(310)
        for job in jobs:
            assert await state(platform, job) is State.RUNNING
        assert len(site.served.app.requests) == before + 1

    live(story)


def test_what_may_run_is_asked_for_once_for_all_that_are_prepared(site: Site) -> None:
    async def story() -> None:
        platform = site.platform(poll_seconds=300.0)
        site.simulator.advance(310)
        before = len(site.served.app.requests)
        await asyncio.gather(*(platform.prepare(job_of()) for _ in range(10)))
        assert len(site.served.app.requests) == before + 5

    live(story)


def test_an_answer_that_never_came_makes_no_second_session(site: Site) -> None:
    async def story() -> None:
        platform, job = site.platform(), job_of("sleep", "600")
        site.served.app.faults.append(Fault("POST /session", "lost", 1))
        await platform.prepare(job)
        with pytest.raises(Unreachable, match="can't be asked"):
            await platform.start(job)
        await platform.start(job)
        await site.platform().start(job)
        assert len(site.posts()) == 1
        assert await state(platform, job) is State.RUNNING

    live(story)


def test_what_was_asked_for_and_never_seen_is_looked_for_before_it_is_released(site: Site) -> None:
    async def story() -> None:
        platform, job = site.platform(), job_of("sleep", "600")
        site.served.app.faults.append(Fault("POST /session", "lost", 1))
        await platform.prepare(job)
        with pytest.raises(Unreachable):
            await platform.start(job)
        pod = site.pod_of(job)
        site.simulator.hidden.add(pod.id)
        with pytest.raises(Unreachable, match="nobody knows yet whether it was made"):
            await site.platform().release(job.id)
        site.simulator.hidden.clear()
        await site.platform().release(job.id)
        assert pod.deleted is not None
        # and one that really was never made is over after a minute
        other = job_of("true")
        site.served.app.faults.append(Fault("POST /session", (503, "text/plain", b"busy"), 1))
        with pytest.raises(Unreachable, match="status 503: busy"):
            await platform.start(other)
        site.simulator.advance(61)
        await platform.release(other.id)
        assert await state(platform, other) is State.ABSENT

    live(story)


def test_of_two_sessions_of_one_name_the_older_stays(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        job = await begun(platform, job_of("sleep", "600"))
        mine = site.pod_of(job)
        site.simulator.advance(30)
        given = {"name": [mine.name], "image": [mine.image], "cmd": ["sleep"], "args": ["600"]}
        other = site.simulator.create("ann", given, None)
        assert await state(platform, job) is State.RUNNING
        assert site.simulator.pods[other].deleted is not None
        assert mine.deleted is None

    live(story)


def test_stopped_it_says_so_and_keeps_its_output(site: Site) -> None:
    async def story() -> None:
        staged = site.with_staging()
        platform = staged.platform()
        job = await begun(platform, job_of("sh", "-c", "echo begun; exec sleep 600"))
        while "begun" not in (await platform.poll(job)).stdout:
            site.simulator.advance(1)  # to the next look at its output
        pod = site.pod_of(job)
        await platform.stop(job)
        status = await staged.platform().poll(job)
        assert (status.state, status.exit_code, status.stdout) == (State.EXITED, 143, "begun\n")
        assert pod.deleted is not None

    live(story)


def test_one_that_waits_says_so_and_why_it_never_ran(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        site.simulator.full = True
        job = await begun(platform, job_of("true"))
        status = await platform.poll(job)
        assert (status.state, status.waiting is not None) == (State.RUNNING, True)
        await platform.stop(job)
        status = await platform.poll(job)
        assert (status.state, status.exit_code) == (State.EXITED, None)
        assert "FailedScheduling: 0/12 nodes are available" in (status.problem or "")

    live(story)


def test_an_image_that_can_t_be_had_ends_it_at_once(site: Site, tmp_path: Path) -> None:
    async def story() -> None:
        secret = tmp_path / "registry"
        secret.write_text("robot:wrong\n")
        platform = site.platform(registry_auth_file=str(secret))
        job = await begun(platform, job_of("true", image="images.canfar.net/private/tool:1"))
        status = await platform.poll(job)
        assert (status.state, status.exit_code) == (State.EXITED, None)
        assert "its image can't be had: Failed to pull image" in (status.problem or "")
        secret.write_text("robot:hunter2\n")
        good = await ended(platform, job_of("true", image="images.canfar.net/private/tool:1"))
        assert good.exit_code == 0

    live(story)


@pytest.mark.parametrize("words", [{}, {"Completed": "Succeeded", "Failed": "Error"}], ids=["new", "old"])
def test_exit_codes_are_known_where_a_script_could_leave_them(site: Site, words: dict[str, str]) -> None:
    async def story() -> None:
        site.simulator.words = words
        plain = site.platform()
        assert (await ended(plain, job_of("true"))).exit_code == 0
        assert (await ended(plain, job_of("false"))).exit_code is None
        staged = site.with_staging().platform()
        status = await ended(staged, job_of("sh", "-c", "echo 'a  b'; exit 7"))
        assert (status.exit_code, status.stdout) == (7, "a  b\n")
        killed = await ended(staged, job_of("sh", "-c", "kill -9 $$"))
        assert killed.exit_code == 137
        assert "more memory" in (killed.problem or "")

    live(story)


def test_skaha_s_own_deadline_is_told(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        job = await begun(platform, job_of("sleep", "600"))
        assert await state(platform, job) is State.RUNNING
        site.simulator.advance(15 * 86_400)
        status = await platform.poll(job)
        assert "DeadlineExceeded: Job was active longer" in (status.problem or "")

    live(story)


def test_an_interactive_session_is_renewed_before_skaha_ends_it(site: Site) -> None:
    async def story() -> None:
        platform = site.platform()
        job = job_of(image=CONTRIBUTED, ports=(Port(5000, "HTTP"),), entrypoint=None)
        await begun(platform, job)
        for _ in range(40):  # ten days, of which Skaha gives four
            site.simulator.advance(21_600)
            assert await state(platform, job) is State.RUNNING
        assert len([path for _, path, _, _ in site.served.app.requests if "action=renew" in path]) == 2

    live(story)


def test_what_another_process_has_seen_counts(site: Site) -> None:
    async def story() -> None:
        one, other = site.platform(), site.platform()
        job = await begun(one, job_of("true"))
        assert (await until_exited(other, job)).exit_code == 0
        site.simulator.advance(7200)
        assert (await one.poll(job)).exit_code == 0

    live(story)


def test_one_failure_serves_all_who_ask_meanwhile(site: Site) -> None:
    async def story() -> None:
        platform = site.platform(poll_seconds=300.0)
        jobs = [await begun(platform, job_of("sleep", "600")) for _ in range(4)]
        site.simulator.advance(310)
        before = len(site.served.app.requests)
        site.served.app.faults.append(Fault("GET /session", "cut"))
        for job in jobs:
            assert await state(platform, job) is State.RUNNING
        assert len(site.served.app.requests) == before + 1

    live(story)


def test_a_silent_skaha_is_waited_for_and_then_no_longer(site: Site) -> None:
    async def story() -> None:
        platform = site.platform(patience_seconds=600.0)
        job = await begun(platform, job_of("sleep", "600"))
        assert await state(platform, job) is State.RUNNING
        site.served.app.faults.append(Fault("GET /session", (503, "text/html", b"<html>down</html>")))
        site.simulator.advance(300)
        assert await state(platform, job) is State.RUNNING
        site.simulator.advance(599)
        assert await state(platform, job) is State.RUNNING
        site.simulator.advance(2)
        with pytest.raises(Unreachable, match=r"fails with status 503$"):
            await platform.poll(job)
        site.served.app.faults.clear()
        assert await state(platform, job) is State.RUNNING
        # one that nobody has seen yet is not believed in
        site.served.app.faults.append(Fault("GET /session", "cut"))
        with pytest.raises(Unreachable):
            await platform.poll(job_of())

    live(story)

"""Trying out which containers can be made inside of a site's containers: a short job through its platform."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files

from broker.model import Executable, Job, Note
from broker.nesting import KINDS, Attempt, Kind, Nesting, Trial
from broker.platforms import Platform, PlatformError, SaysWhatFits, State, Status
from federation.sites import Site

MARK = "fairlead-nesting"
POLL_SECONDS = 0.5
# what a program in somebody's image says is shown to clients: a line, and no longer than this
LONGEST_SAID = 300
# a job whose output ends before that was cut off
LAST = Kind.SOCKET


def script() -> str:
    return (files("broker.nesting") / "probe.sh").read_text(encoding="utf-8")


def executable_of(image: str, site: Site, privileged: bool = False) -> Executable:
    """The probe as a request would have it. An entrypoint is named, for some platforms can't do without."""
    architecture = site.platform.architectures[0] if site.platform else "amd64"
    return Executable(
        "nesting-probe",
        (image,),
        architecture=architecture,
        privileged=privileged,
        entrypoint="sh",
        command=("-c", script()),
    )


async def try_nesting(
    platform: Platform, site: Site, image: str, now: datetime, limit_seconds: float, privileged: bool = True
) -> Nesting:
    """What works in containers of `image` at `site`, and in privileged ones, where it has those.

    Each of the two takes `limit_seconds` at most, its queue included. Raises PlatformError in one line where
    the site can't run the probe, or it doesn't end. Nothing of it stays at the site, also when cancelled.
    """
    if isinstance(platform, SaysWhatFits):
        await asyncio.to_thread(platform.learn)
    plain = executable_of(image, site)
    refused = platform.check(plain)
    if refused:
        raise PlatformError(_words(refused))
    found = await _trial(platform, site, plain, limit_seconds)
    return Nesting(
        site.id, now, image, found, await _privileged(platform, site, plain, limit_seconds, privileged)
    )


async def _privileged(
    platform: Platform, site: Site, plain: Executable, limit_seconds: float, wanted: bool
) -> Trial | str:
    if not wanted:
        return "not tried"
    executable = replace(plain, privileged=True)
    refused = platform.check(executable)
    if refused:
        return _words(refused)
    try:
        return await _trial(platform, site, executable, limit_seconds)
    except PlatformError as error:
        return str(error)


async def _trial(platform: Platform, site: Site, executable: Executable, limit_seconds: float) -> Trial:
    duration = timedelta(seconds=limit_seconds)
    job = Job(str(uuid.uuid4()), site.id, executable, cores=1, memory_gib=1, duration=duration, storage_gib=1)
    try:
        async with asyncio.timeout(limit_seconds):
            await platform.prepare(job)
            await platform.start(job)
            status = await _until_exited(platform, job)
    except TimeoutError:
        raise PlatformError(f"site {site.id}: the probe wasn't done within {limit_seconds:g} s") from None
    finally:
        await _removed(platform, job)
    return read_trial(status, site.id)


async def _until_exited(platform: Platform, job: Job) -> Status:
    while (status := await platform.poll(job)).state is not State.EXITED:
        if status.state is State.ABSENT:
            raise PlatformError(f"site {job.site_id}: the probe is gone before its end")
        await asyncio.sleep(POLL_SECONDS)
    return status


async def _removed(platform: Platform, job: Job) -> None:
    """Release the job, also while this task is cancelled."""
    release = asyncio.ensure_future(platform.release(job.id))
    try:
        await asyncio.shield(release)
    except asyncio.CancelledError:
        await release
        raise


def read_trial(status: Status, site_id: str) -> Trial:
    """What the probe printed. Raises PlatformError where that isn't all of it."""
    attempts: dict[Kind, Attempt] = {}
    facts: dict[str, str] = {}
    for line in status.stdout.splitlines():
        mark, _, rest = line.partition(" ")
        name, _, rest = rest.partition(" ")
        code, _, said = rest.partition(" ")
        if mark != MARK or not code.isdecimal():
            continue
        if name in KINDS:
            attempts[KINDS[name]] = Attempt(int(code), _shown(said))
        else:
            facts[name] = _shown(said)
    if LAST not in attempts:
        reason = (
            status.problem or _shown(_last(status.stderr) or _last(status.stdout)) or "it printed nothing"
        )
        code = f"exit code {status.exit_code}"
        raise PlatformError(f"site {site_id}: the probe said nothing of containers ({code}): {reason}")
    return Trial(attempts, facts)


def _shown(said: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in said.strip())[:LONGEST_SAID]


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _words(notes: Sequence[Note]) -> str:
    return "; ".join(note.text for note in notes)

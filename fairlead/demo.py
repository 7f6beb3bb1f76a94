"""The whole story, told in seven steps: on the lab where it can be, else on the simulated federation.

Everything that it starts is ended in the reverse order when it is over, when it fails, and on Ctrl-C; `keep`
leaves lab and broker for the user. What it makes for the user to look at is in one directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from fairlead import demo_steps
from fairlead.client import Document, notes, offers
from fairlead.demo_image import IMAGE
from fairlead.demo_steps import Stage
from fairlead.evidence import expected_checksums, missing_checksums, transfer_table
from fairlead.following import Narrator, container_output, follow, logs_of, now, read_job, show_offers
from fairlead.served import Served
from fairlead.telling import Telling
from federation.errors import InputError, OutsideError
from netprobe.measurement import Kind

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
JOB = EXAMPLES / "checksum.yaml"
PLAN = EXAMPLES / "lab-plan.toml"
# what an earlier telling may have left in the output directory
LEFT_BEHIND = ("matrix.png", "sites.toml", "fairlead.db", "fairlead.db-wal", "fairlead.db-shm", "server.log")


def tell(telling: Telling) -> dict[str, Any]:
    """Tell the story, and return what came of it. Raises FairleadError.

    `right`: the container completed, and its output is what it should be.
    """
    if not JOB.exists():
        raise InputError(f"{JOB} is missing: the demo is told from a checkout of Fairlead's source")
    text = read_job(JOB)
    _clear_output(telling.output)
    began = time.monotonic()
    with _undisturbed_end() as stack:
        telling.step(1, "Set up")
        telling.say("the system packages and the Python environment are there (make setup)")
        stage = demo_steps.federation(telling, stack)
        demo_steps.measure(telling, stage)
        if not telling.simulated:
            demo_steps.image(telling, stack)
        broker = demo_steps.serve(telling, stage, stack)
        session, printed = _ask_and_run(telling, broker, text)
        right = _evidence(telling, stage, session, printed, text)
        seconds = time.monotonic() - began
        transfers = [dict(one.figures) for one in stage.archive.all(Kind.TRANSFER)]
        _what_next(telling, broker, seconds)
        if telling.keep:
            stack.pop_all()
    if not telling.keep:
        telling.say("everything that was started has ended")
    return {
        "right": right,
        "simulated": telling.simulated,
        "seconds": round(seconds, 3),
        "session": session,
        "transfers": [] if telling.simulated else transfers,
    }


def why_not_here() -> str | None:
    """One line: why this machine can't have the lab with podman; None where it can."""
    from broker.platforms import podman_cli
    from lab import lab

    return lab.supported() or podman_cli.usable()


def _clear_output(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in LEFT_BEHIND:
            (output / name).unlink(missing_ok=True)
        shutil.rmtree(output / "work", ignore_errors=True)
    except OSError as error:
        raise OutsideError(f"{output}: {error.strerror}") from error


@contextmanager
def _undisturbed_end() -> Iterator[ExitStack]:
    """A stack of what is to be ended. While it ends, Ctrl-C is not heard: half a clean-up helps nobody."""
    with ExitStack() as stack:
        try:
            yield stack
        finally:
            previous = {
                number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
            }
            try:
                stack.close()
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)


def _ask_and_run(telling: Telling, broker: Served, text: str) -> tuple[Document, str]:
    """The session at its end, and what its container printed."""
    telling.step(5, "Ask where and when it could run")
    shown = os.path.relpath(JOB)
    telling.command(f"fairlead run {shown} --accept best")
    telling.say("or with any other client:")
    telling.command(
        f"curl -u {broker.user}:... -H 'Content-Type: application/yaml' --data-binary @{shown} "
        f"{broker.url}/requests"
    )
    with broker.client() as client:
        offerset = client.request(text)
        found = offers(offerset, now())
        if not found:
            reasons = "; ".join(reason for _, reason in notes(offerset)) or "without a reason"
            raise OutsideError(f"the broker says NO: {reasons}")
        show_offers(telling.console, found)
        telling.step(6, f"Accept the best, at {found[0].site}")
        client.move(found[0].uuid, "ACCEPTED")
        session = follow(client, found[0].uuid, Narrator(telling.console, found[0].reasons))
        return session, container_output(logs_of(client, found[0].uuid))


def _evidence(telling: Telling, stage: Stage, session: Document, printed: str, text: str) -> bool:
    """Show what came out; whether it is what it should be."""
    if session.get("phase") != "COMPLETED":
        telling.say(f"the session ended as {session.get('phase')}, not COMPLETED")
        return False
    telling.say("what the container printed:")
    for line in printed.splitlines():
        telling.say("  " + line)
    if telling.simulated:
        telling.say("simulated: no container ran and nothing was moved, so there is nothing to verify")
        return True
    request = yaml.safe_load(text)
    missing = missing_checksums(request, printed)
    if missing:
        telling.say(f"WRONG: no right checksum was printed for {', '.join(missing)}")
        return False
    telling.say(f"the {len(expected_checksums(request))} checksums are those that the request states: right")
    telling.console.print(transfer_table(stage.archive.all(Kind.TRANSFER)))
    return True


def _what_next(telling: Telling, broker: Served, seconds: float) -> None:
    telling.step(7, f"That was it, in {seconds:.0f} s. What to try next")
    output = telling.shown_output
    telling.say(f"heat map, archive and the broker's log stay in {output}; look again with")
    telling.command(
        f"fairlead probe forecast capetown lausanne --size 200MB --catalogue {output}/sites.toml "
        f"--database sqlite:///{output}/fairlead.db"
    )
    if telling.keep:
        telling.say(f"lab and broker are left up (the broker is process {broker.process.pid}):")
        telling.command(
            f"FAIRLEAD_URL={broker.url} FAIRLEAD_USER={broker.user} FAIRLEAD_PASSWORD={broker.password} "
            f"fairlead run {os.path.relpath(JOB)}"
        )
        end = "" if telling.simulated else f" && fairlead lab down && podman rmi {IMAGE}"
        telling.command(f"kill {broker.process.pid}{end}")
        return
    telling.command("fairlead demo --keep        # the same, and leaves lab and broker up to play with")
    telling.command("fairlead serve --simulated  # a broker to write clients against: no root, no network")
    telling.command("fairlead lab --help         # make a path worse, and see the offers follow")

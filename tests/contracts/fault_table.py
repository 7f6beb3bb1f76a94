"""What comes of each fault at each platform: the tests hold the platforms to it, docs/faults.md shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.contracts.faults import Fault


@dataclass(frozen=True)
class Fails:
    """Where it lasts, the session ends FAILED with a line that begins so; URL is the service's. Where it goes
    by, the session goes on."""

    line: str


@dataclass(frozen=True)
class GoesOn:
    """The session goes on, and this is why."""

    reason: str


@dataclass(frozen=True)
class NotThere:
    """There is no such fault, and this is why."""

    reason: str


Outcome = Fails | GoesOn | NotThere
FOUND = GoesOn("the next broker finds what was started, and starts nothing else")

SKAHA = "site here: Skaha at URL "
EXPIRED_TOKEN = "doesn't take our credentials: the token may have expired"
CUT = "peer closed connection without sending complete message body"
REFUSED = "[Errno 111] Connection refused"
NOBODY = "no broker answers at URL: "
NO_SIGN_IN = NotThere("podman is a command of this machine: nobody signs in")
NO_SERVICE = NotThere("there is no service: all of it is in the broker's own process")
INSPECT = "site here: podman image inspect"
NOVA = "site here: Nova of cloud 'faulty'"
SLURM = "site here: squeue"
SLURMRESTD = "site here: slurmrestd at URL"
# rows that are another way to a platform than its own row
WAYS: Mapping[str, str] = {"slurmrestd": "slurm"}

TABLE: Mapping[str, Mapping[Fault, Outcome]] = {
    "podman": {
        Fault.DOWN: Fails(f"{INSPECT}: creating runtime: database is locked"),
        Fault.SLOW: Fails("site here: podman image: not done within 0.5 s"),
        Fault.UNAUTHORIZED: NO_SIGN_IN,
        Fault.FORBIDDEN: Fails(f"{INSPECT}: creating runtime: mkdir /run/libpod: permission denied"),
        Fault.EXPIRED: NO_SIGN_IN,
        Fault.HALF: Fails(f"{INSPECT}: exit status -9"),
        Fault.WRONG: Fails(f"{INSPECT} said something unexpected: "),
        Fault.VANISHING: Fails("site here: podman ps: creating runtime: database is locked"),
        Fault.KILLED: FOUND,
    },
    "slurm": {
        Fault.DOWN: Fails(f"{SLURM}: Unable to contact slurm controller (connect failure)"),
        Fault.SLOW: Fails(f"{SLURM} doesn't answer within 1 s"),
        Fault.UNAUTHORIZED: Fails(f"{SLURM}: slurm_load_jobs error: Protocol authentication error"),
        Fault.FORBIDDEN: Fails(f"{SLURM}: Access/permission denied"),
        Fault.EXPIRED: NotThere("munge makes a credential for each command: none gets old"),
        Fault.HALF: Fails(f"{SLURM}: exit status -9"),
        Fault.WRONG: Fails(f"{SLURM} said something unexpected: "),
        Fault.VANISHING: Fails(f"{SLURM}: Unable to contact slurm controller (connect failure)"),
        Fault.KILLED: FOUND,
    },
    "slurmrestd": {
        Fault.DOWN: Fails(f"{SLURMRESTD} can't be asked: {REFUSED}"),
        Fault.SLOW: Fails(f"{SLURMRESTD} can't be asked: timed out"),
        Fault.UNAUTHORIZED: Fails(
            f"{SLURMRESTD} doesn't take our token for the user root: it may be another"
        ),
        Fault.FORBIDDEN: Fails(f"{SLURMRESTD} fails with status 403"),
        Fault.EXPIRED: Fails(f"{SLURMRESTD} doesn't take our token for the user root: it may be another"),
        Fault.HALF: Fails(f"{SLURMRESTD} can't be asked: {CUT}"),
        Fault.WRONG: Fails(f"{SLURMRESTD} answers with what can't be read: expected a JSON object"),
        Fault.VANISHING: Fails(f"{SLURMRESTD} can't be asked: {REFUSED}"),
        Fault.KILLED: FOUND,
    },
    "skaha": {
        Fault.DOWN: Fails(f"{SKAHA}can't be asked: {REFUSED}"),
        Fault.SLOW: Fails(f"{SKAHA}can't be asked: timed out"),
        Fault.UNAUTHORIZED: Fails(f"{SKAHA}{EXPIRED_TOKEN}"),
        Fault.FORBIDDEN: Fails(f"{SKAHA}denies this to our account (the account may not use it"),
        Fault.EXPIRED: Fails(f"{SKAHA}{EXPIRED_TOKEN}"),
        Fault.HALF: Fails(f"{SKAHA}can't be asked: {CUT}"),
        Fault.WRONG: Fails(f"{SKAHA}answers with what can't be read: something else than JSON"),
        Fault.VANISHING: Fails(f"{SKAHA}can't be asked: {REFUSED}"),
        Fault.KILLED: FOUND,
    },
    "openstack": {
        Fault.DOWN: Fails(f"{NOVA} can't be reached: "),
        Fault.SLOW: Fails(f"{NOVA} doesn't answer within 1 s"),
        Fault.UNAUTHORIZED: Fails(f"{NOVA} doesn't accept these credentials: "),
        Fault.FORBIDDEN: Fails(f"{NOVA} shows no flavours"),
        Fault.EXPIRED: GoesOn("Keystone is asked for another token"),
        Fault.HALF: Fails(f"{NOVA} can't be reached: "),
        Fault.WRONG: Fails(f"{NOVA} answers with something else than JSON"),
        Fault.VANISHING: Fails(f"{NOVA} can't be reached: "),
        Fault.KILLED: FOUND,
    },
    "execution_broker": {
        Fault.DOWN: Fails(f"{NOBODY}{REFUSED}"),
        Fault.SLOW: Fails(f"{NOBODY}timed out"),
        Fault.UNAUTHORIZED: Fails("the broker at URL doesn't take our credentials"),
        Fault.FORBIDDEN: Fails("the broker at URL refuses with status 403: refused: "),
        Fault.EXPIRED: Fails("the broker at URL doesn't take our credentials"),
        Fault.HALF: Fails(f"{NOBODY}{CUT}"),
        Fault.WRONG: Fails("the broker at URL answers with something else than a JSON object"),
        Fault.VANISHING: Fails(f"{NOBODY}{REFUSED}"),
        Fault.KILLED: FOUND,
    },
    "simulated": {
        **dict.fromkeys(Fault, NO_SERVICE),
        Fault.KILLED: GoesOn("what it simulated is gone with the broker: it runs again from its beginning"),
    },
}


NEVER_READ = NotThere(
    "its size is in the head of the answer, and its bytes are not read before they are moved"
)
SIZE_UNKNOWN = GoesOn("its size stays unknown, and the answer says why")
NOT_FOUND_OUT = Fails("catalogue-failed")
NOT_OURS = Fails("data-not-public or catalogue-failed")
# what all catalogues have in common; the line is the kind of the message by which the answer is NO
_ALL: Mapping[Fault, Outcome] = {
    Fault.DOWN: NOT_FOUND_OUT,
    Fault.SLOW: NOT_FOUND_OUT,
    Fault.UNAUTHORIZED: NOT_OURS,
    Fault.FORBIDDEN: NOT_OURS,
    Fault.EXPIRED: GoesOn("what is secret is read again for the next request"),
    Fault.HALF: NOT_FOUND_OUT,
    Fault.WRONG: NOT_FOUND_OUT,
    Fault.VANISHING: NOT_FOUND_OUT,
    Fault.KILLED: NotThere("a catalogue is asked and keeps nothing: the next broker asks again"),
}
_NAMED: Mapping[Fault, Outcome] = {
    **_ALL,
    Fault.HALF: NEVER_READ,
    Fault.WRONG: NEVER_READ,
    Fault.VANISHING: NotThere("it is not asked again before it is moved"),
}
_PLAIN = {**_NAMED, Fault.DOWN: SIZE_UNKNOWN, Fault.SLOW: SIZE_UNKNOWN}
CATALOGUES: Mapping[str, Mapping[Fault, Outcome]] = {
    "http file": _PLAIN,
    "webdav folder": _ALL,
    "s3 object": _NAMED,
    "s3 prefix": _ALL,
    "rucio": _ALL,
    "skao in rucio": _ALL,
    "skao file": _PLAIN,
    "ivoa identifier": {**_ALL, Fault.VANISHING: NotThere("its files were named when it was resolved")},
}


def cells(*kinds: type[Outcome]) -> list[tuple[str, Fault]]:
    """Platform and fault of all outcomes of these kinds."""
    return [
        (platform, fault)
        for platform, outcomes in TABLE.items()
        for fault, outcome in outcomes.items()
        if isinstance(outcome, kinds)
    ]


def markdown(table: Mapping[str, Mapping[Fault, Outcome]], what: str) -> str:
    """A table, for the docs; `what` its rows are about."""
    lines = [f"| {what} | fault | what comes of it |", "| --- | --- | --- |"]
    for name, outcomes in table.items():
        lines += [f"| {name} | {fault} | {_words(outcomes[fault])} |" for fault in Fault]
    return "\n".join(lines) + "\n"


def _words(outcome: Outcome) -> str:
    match outcome:
        case Fails(line):
            return f"`{line.strip().rstrip(':')}`"
        case GoesOn(reason):
            return f"goes on: {reason}"
        case NotThere(reason):
            return f"does not happen: {reason}"

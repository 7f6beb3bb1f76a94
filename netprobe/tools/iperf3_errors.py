"""What iperf3's error messages (3.9 to 3.22) mean: which side failed, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from federation.errors import one_line
from netprobe.tools.iperf3_options import Options, version_of

# the release that changed the padding of logins, by which the two ends no longer understand each other
_PADDING = (3, 17)


class Stage(StrEnum):
    """How far a test came: no connection for data, connections but no data yet, data."""

    BEFORE = "before"
    CONNECTED = "connected"
    RUNNING = "running"


@dataclass(frozen=True)
class Sides:
    """The words for the two ends of a test in an error: "source perth", "destination lausanne"."""

    client: str
    server: str
    address: str
    port: int
    connect_seconds: float
    asked: Options
    # such as "3.12"; None where it isn't known
    client_release: str | None = None
    server_release: str | None = None

    @property
    def where(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def explain(message: str, sides: Sides, stage: Stage = Stage.RUNNING) -> str:
    """One line that says which side failed, and why, from iperf3's own `message` and how far the test came.

    The texts changed between releases (3.14 adds guesses of its own), so they are matched loosely.
    """
    low = " ".join(message.lower().split())
    return (
        _turned_away(low, sides)
        or _refused_by_the_host(low, sides)
        or (_hung_up(low, sides, stage) if stage is not Stage.RUNNING else None)
        or _vanished(low, sides)
        or _unreachable(low, sides)
        or f"{sides.client}: iperf3 to {sides.where}: {one_line(message)}"
    )


def _turned_away(low: str, sides: Sides) -> str | None:
    server = f"{sides.server}: the iperf3 server at {sides.where}"
    if "refused" in low:
        return f"{sides.server}: connection refused at {sides.where}, no iperf3 server listens there"
    if "busy" in low:
        return f"{server} is busy with another test"
    if "authorization failed" in low:
        return f"{server} refused the authentication: {_why_refused(sides)}"
    if "server only" in low:
        return (
            f"{sides.client}: pkcs1_padding: iperf3 on this host has it as a server only, which leaves it no"
            " authentication at servers older than 3.17"
        )
    if _any(low, "specify a username", "rsa public key", "public key"):
        return f"{sides.client}: iperf3 can't read the public key {sides.asked.public_key!r}"
    if _any(low, "unknown control message", "received an unknown", "protocol does not exist"):
        return f"{sides.server}: what listens at {sides.where} is no iperf3 of a version that fits"
    if _any(low, "server limit", "exceeds the server", "bitrate limit", "maximum duration"):
        return f"{server} allows no such test: {low}"
    return None


def _why_refused(sides: Sides) -> str:
    """What is wrong with a login: where the ends' releases don't fit, which of them has to do what."""
    asked, here, there = sides.asked, sides.client_release, sides.server_release
    if asked.username is None:
        return "it asks for a login (username, public_key and a password)"
    why = "user, password, key or clock is wrong"
    old_here, old_there = _pads_as_before(here), _pads_as_before(there)
    if old_here:
        # the server may have been told to
        newer = f"is {there}" if there is not None else "is 3.17 or newer"
        hint = f"the server {newer} and doesn't pad as our {here} does: start it with --use-pkcs1-padding"
        return why if old_there else f"{why}, or {hint}"
    if asked.pkcs1_padding:
        return why if old_there else f"{why}, or the server isn't older than 3.17: leave out pkcs1_padding"
    if old_there:
        ours = "ours isn't" if here is None else f"our {here} isn't"
        return (
            f"its {there} is older than 3.17, {ours}, and they pad differently: set pkcs1_padding"
            " (clients up to 3.18 have it, 3.22 has not)"
        )
    return why if old_there is False else f"{why}, or one side is older than 3.17 (pkcs1_padding)"


def _pads_as_before(release: str | None) -> bool | None:
    found = re.match(r"(\d+)\.(\d+)", release or "")
    return None if found is None else (int(found[1]), int(found[2])) < _PADDING


def _refused_by_the_host(low: str, sides: Sides) -> str | None:
    asked = sides.asked
    if "congestion" in low:
        return f"{sides.client}: no congestion control {asked.congestion!r} on this host"
    if "socket buffer size" in low:
        return (
            f"{sides.client}: a window of {asked.window_bytes} bytes is more than an end allows"
            " (net.core.rmem_max, wmem_max)"
        )
    if _any(low, "mss", "maximum segment size"):
        return f"{sides.client}: mss: this host takes no segments of {asked.mss_bytes} bytes"
    if "pacing" in low or "fq-rate" in low:
        return f"{sides.client}: fq_rate: this host can't pace by the kernel"
    if "cannot assign requested address" in low:
        return f"{sides.client}: bind: {asked.bind!r} is no address of this host"
    if "address family" in low:
        family = "of that family" if asked.ip_version is None else f"for IPv{asked.ip_version}"
        return f"{sides.client}: address family: no address {family} to reach {sides.where} by"
    return None


_CLOSED = (
    "control socket has closed",
    "connection reset",
    "broken pipe",
    "unable to send control message",
    "unable to receive control message",
)


def _hung_up(low: str, sides: Sides, stage: Stage) -> str | None:
    """Of a server that is gone before any data flowed: mostly it didn't want the test."""
    server = f"{sides.server}: the iperf3 server at {sides.where}"
    unsaid = "this release of iperf3 doesn't say which"
    if "bad file descriptor" in low:
        return f"{sides.server}: no connection to {sides.where}: refused, no such name, or no way ({unsaid})"
    if not _any(low, *_CLOSED):
        return None
    if stage is Stage.CONNECTED:
        return f"{server} hung up before any data flowed: a limit of its own (bitrate, duration), or its end"
    if "unable to send control message" in low:
        return f"{server} turned us away: it is busy with another test, or is none ({unsaid})"
    if sides.asked.username is not None:
        return f"{server} hung up instead of an answer to our authentication: {_why_refused(sides)}"
    return f"{server} hung up before the test: it asks for a login (username), or is none that fits"


def _vanished(low: str, sides: Sides) -> str | None:
    server = f"{sides.server}: the iperf3 server at {sides.where}"
    if _any(low, "server has terminated", *_CLOSED):
        return f"{server} vanished during the test"
    if "client has terminated" in low:
        return f"{sides.client}: iperf3 was ended during the test"
    if _any(low, "unable to read from stream", "unable to write to stream", "idle timeout"):
        return f"{sides.server}: {sides.where} stopped answering during the test"
    return None


def _unreachable(low: str, sides: Sides) -> str | None:
    if _any(low, "no route to host", "network is unreachable"):
        return f"{sides.client}: no route to {sides.where} ({low.rpartition(': ')[2]})"
    if not _any(low, "unable to connect", "name or service", "name resolution", "not known"):
        return None
    # 3.12 gives any errno that was left over where a name can't be resolved
    if version_of(sides.address) is None and "timed out" not in low and "in progress" not in low:
        version = sides.asked.ip_version
        wanted = "" if version is None else f" to an IPv{version} address"
        return f"{sides.client}: the name {sides.address!r} of the {sides.server} can't be resolved{wanted}"
    if _any(low, "timed out", "in progress", "temporarily unavailable"):
        return f"{sides.server}: no answer from {sides.where} within {sides.connect_seconds:g} s"
    return None


def _any(text: str, *parts: str) -> bool:
    return any(part in text for part in parts)

"""One test by a program at the source, as a measurement: what tools without a server have in common."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.clock import Clock
from netprobe import context
from netprobe.measurement import Kind, Measurement, Origin
from netprobe.tools import Test

# of the ends' settings: those of TCP have no say in what isn't TCP
SETTINGS = ("default_qdisc",)


@dataclass(frozen=True)
class Result:
    """What came of a program: figures, or one line that names the side and the cause, or both."""

    figures: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    raw: Mapping[str, Any] | None = None
    # as far as it became known: a name may have been given
    destination_address: str | None = None


async def measure(
    tool: str,
    kind: Kind,
    clock: Clock,
    test: Test,
    about: Sequence[str],
    work: Callable[[float], Awaitable[Result]],
) -> Measurement:
    """The measurement that `work` gives, with the context of both ends and the program's release.

    `about` is the command that says the release, and its first word the program. `work` gets the end of its
    time, of `time.monotonic()`; what it raises leaves.
    """
    started, begun = clock.now(), time.monotonic()
    deadline = begun + test.time_limit_seconds
    source, destination = test.source, test.destination
    hosts = (source.host, destination.host)
    share = context.share(test.time_limit_seconds)
    before, release = await context.before_test(hosts, source.host, about, share)
    outcome = await work(deadline)
    address = outcome.destination_address or destination.address
    after = await context.read(hosts, max(0.1, min(share, deadline - time.monotonic())))
    explained: dict[str, Any] = {} if release is None else {about[0]: release}
    ends = {"source": True, "destination": context.is_at(destination.host, address)}
    for (end, there), one, then in zip(ends.items(), before, after, strict=True):
        if there and (found := context.between(one, then, SETTINGS)):
            explained[end] = found
    return Measurement(
        kind=kind,
        source=source.site,
        destination=destination.site,
        started=started,
        seconds=time.monotonic() - begun,
        tool=tool,
        origin=Origin.SCRIPTED,
        figures=outcome.figures,
        parameters=dict(test.parameters),
        destination_address=address,
        error=outcome.error,
        context=explained,
        raw=outcome.raw,
    )

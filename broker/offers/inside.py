"""Sites whose sessions bring data and image in their own time: there is nothing before they have begun."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from broker.model import Level, Note
from broker.offers.by_rule import Seen, delay_seconds
from broker.offers.candidates import Candidate, at_most
from broker.offers.changes import applied, merged, shorter
from broker.platforms import Platform, PreparesInside
from federation.units import format_seconds
from netprobe.cost import NOTHING, grouped, seconds_for, together
from netprobe.forecast import ForecastPath


def inside(
    candidates: Sequence[Candidate],
    platforms: Mapping[str, Platform],
    forecast: ForecastPath,
    seen: Seen,
) -> tuple[list[Candidate], tuple[Note, ...]]:
    """The candidates, with what comes before the start and what is in the session's time where it really is;
    and why others can't have a session that is long enough for both.

    To be asked when all is known of how long data and image take. `seen`: as for `by_rule`, whose waiting is
    before the start everywhere, for the data's own system brings it to the site's storage.
    """
    found: list[Candidate] = []
    reasons: list[Note] = []
    for candidate in candidates:
        platform = platforms.get(candidate.site.id)
        if candidate.ready is not None or not isinstance(platform, PreparesInside):
            found.append(candidate)
            continue
        moved = _within_longest(_moved(candidate, platform, forecast, seen))
        if isinstance(moved, Candidate):
            found.append(moved)
        else:
            reasons += moved
    return found, tuple(reasons)


def _moved(candidate: Candidate, platform: PreparesInside, forecast: ForecastPath, seen: Seen) -> Candidate:
    """The candidate, whose preparation was all before its start, with what isn't in its own time."""
    site, staging = candidate.site, candidate.staging
    targets = {
        item.uuid: target
        for item in candidate.request.data
        if (target := item.target(site.id)) is not None and target.files > 0
    }
    before, data = NOTHING, staging.seconds
    if targets:
        delays = [
            delay_seconds(each.delay_seconds, seen.get((site.id, each.rse), ())) for each in targets.values()
        ]
        ruled = [move for move in staging.moves if move.key in targets]
        others = [move for move in staging.moves if move.key not in targets]
        copy = seconds_for(
            forecast(site.id, site.id),
            sum(each.size_bytes for each in targets.values()),
            sum(each.files for each in targets.values()),
        )
        before = together(grouped(ruled), site.link_bits_per_second)
        before += max(delays, key=lambda each: (each.p90, each.p50))
        data = (together(grouped(others), site.link_bits_per_second) if others else NOTHING) + copy
    image = (
        at_most(platform.image_seconds(candidate.request.executable))
        if candidate.pull is None
        else candidate.pull.seconds
    )
    return replace(candidate, prepare=before, inside=at_most(platform.boot_seconds()) + data + image)


def _within_longest(candidate: Candidate) -> Candidate | list[Note]:
    """With a note of what comes on top of the asked time; changed or refused where the site gives a session
    less than both."""
    site, request, most = candidate.site, candidate.request, candidate.platform.max_duration_seconds
    values = {"site": site.id, "seconds": format_seconds(candidate.inside.p90)}
    if candidate.duration.total_seconds() <= most:
        what = "data and image" if request.data else "its image"
        text = f"a server at {{site}} boots and brings {what} when the session has begun: "
        text += "{seconds} (90 %), which are booked besides the {duration} that are asked for"
        values["duration"] = format_seconds(request.duration.total_seconds())
        note = Note("server-start", text, values, Level.INFO)
        return replace(candidate, warnings=(*candidate.warnings, note))
    text = "{site} runs a session for {limit} at most, of which booting and bringing data and image take "
    text += "{seconds} (90 %)"
    values["limit"] = format_seconds(most)
    path = "/schedule/requested/duration"
    reason = Note("duration-limit", text, values, Level.ERROR, path)
    left = int(most) - math.ceil(candidate.inside.p90)
    if left < 1:
        return [each for each in candidate.reasons if each.kind != reason.kind] + [reason]
    change = shorter(request, timedelta(seconds=left))
    return replace(
        candidate,
        request=applied(request, [change]),
        reasons=(*candidate.reasons, reason),
        changes=merged((*candidate.changes, change)),
    )

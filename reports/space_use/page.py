"""The report on the clouds' use: what it says, in which order."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from federation.units import format_seconds
from reports.document import BAD, COLD, FAIR, GOOD, Card, Document, Made
from reports.space_use import frames, sections, words
from reports.space_use.model import NOTHING, Reading
from reports.space_use.series import Basis, Series, after, before, together
from reports.space_use.waits import LOOK, USUAL, Wait, first_of, waits
from reservations.calendar import PGPU, VCPU, Sight
from reservations.occupancy import size

_METHOD = (
    "Core-hours are summed hour by hour. Of the past, an hour is as our own record has it (what was taken "
    "when the cloud was first read in that hour), else as the source remembers it (each booking for as long "
    "as it lasted, and the cloud as large as it is now). Hours that neither knows are left out of sums and "
    "means, and counted as not known. What is ahead is what is booked now, with nothing guessed.",
    "A cloud's machines count once, whatever ways there are to book them; hosts that can't be booked now "
    "don't count, and no host is more than full. The mean is of core-hours taken over core-hours there were, "
    "the peak the fullest hour. All days and hours are UTC.",
    "How long one waits is the first opening from now on by the same search as `fairlead space when`: all of "
    "the need, for the whole time, on the same hosts, as that cloud counts. Half a cloud is asked for in "
    "pieces of 4 cores (or in whole hosts, where only these can be booked).",
)


def report(reading: Reading, made: Made) -> Document:
    """The whole report, as of `reading.now`."""
    past = [before(cloud, reading) for cloud in reading.clouds]
    ahead = [after(cloud, reading) for cloud in reading.clouds]
    both = together(past or [before(NOTHING, reading)]), together(ahead or [after(NOTHING, reading)])
    found = waits(reading)
    names = [reading.name(cloud) for cloud in reading.clouds]
    series = list(zip(names, past, ahead, strict=True))
    shown = [(frames.ALL, *both), *series] if len(series) > 1 else series
    clouds = frames.clouds(reading, past, ahead, both)
    return Document(
        name="space",
        title="Use of the clouds",
        since=reading.since,
        until=reading.now,
        basis=f"{words.counted(len(reading.clouds), 'cloud')}, and what is booked until "
        f"{words.minute(reading.ahead)} UTC",
        headline=headline(reading, both, found),
        sections=(
            sections.clouds(clouds),
            sections.waiting(reading, found),
            sections.days(reading, shown),
            *sections.weeks(shown),
            sections.amounts(clouds),
            sections.holders(reading, past, ahead),
            sections.pieces(reading),
            *sections.calendars(reading, ahead),
            sections.credits(reading),
            sections.endings(reading),
            sections.hosts(reading, past, ahead),
            sections.known(reading, past),
            sections.days_table(shown),
        ),
        made=made,
        remarks=(*_remarks(reading, both[0]), *reading.remarks),
        cards=_cards(reading, both, found),
        method=_METHOD,
        data={
            "now": reading.now.isoformat(),
            "ahead": reading.ahead.isoformat(),
            "hour_of_week": {
                name: [[None if pd.isna(share) else round(float(share), 6) for share in day] for day in week]
                for name, week in ((name, frames.hour_of_week(one)) for name, one, _ in shown)
            },
        },
    )


def headline(reading: Reading, both: tuple[Series, Series], found: Sequence[Wait]) -> str:
    """The answer in a few sentences."""
    past, ahead = both
    cores = _in_all(reading, VCPU)
    if not cores and not past.known.any():
        return "No cloud shows its hosts: how much is taken is not known."
    said = []
    share, peak, first = past.share(), past.peak(), past.first_known()
    if share is None or peak is None or first is None:
        said.append("How much was taken before now is not known; it is recorded from now on.")
    else:
        taken = f"{words.percent(share)} of the cores were taken since {words.day(first)}, "
        least = "At least " if (past.basis == Basis.AT_LEAST).any() else ""
        fullest = f"{words.percent(peak[0])} in the fullest hour ({peak[1]:%a %Y-%m-%d %H:%M} UTC)."
        said.append(least + taken + fullest)
    booked = ahead.share()
    if booked is not None:
        days = (reading.ahead - reading.now).total_seconds()
        said.append(f"{words.percent(booked)} are booked for the next {format_seconds(days)}.")
    said += [
        f"{usual.words[0].upper()}{usual.words[1:]}: {_first(reading, found, usual.name)}." for usual in USUAL
    ]
    return " ".join(said)


def _first(reading: Reading, found: Sequence[Wait], name: str) -> str:
    first = first_of(found, name)
    if first is None:
        return f"not within {LOOK.days} days"
    seconds = first.seconds(reading.now) or 0.0
    return f"{words.wait_words(seconds)} at {first.cloud}"


def _cards(reading: Reading, both: tuple[Series, Series], found: Sequence[Wait]) -> tuple[Card, ...]:
    past, ahead = both
    cores, gpus = _in_all(reading, VCPU), _in_all(reading, PGPU)
    peak, spent = past.peak(), past.resource_hours(VCPU)
    cards = [
        Card(f"{cores:,}", "cores" + (f" and {gpus:,} GPUs" if gpus else ""), COLD),
        Card(words.percent(past.share()), "of the cores taken, mean", COLD),
        Card(words.percent(peak[0] if peak else None), "in the fullest hour", COLD),
        Card("unknown" if spent is None else f"{spent:,.0f}", "core-hours taken", COLD),
        Card(words.percent(ahead.share()), "booked ahead", COLD),
    ]
    for usual in USUAL:
        first = first_of(found, usual.name)
        seconds = None if first is None else first.seconds(reading.now)
        cards.append(
            Card("not soon" if seconds is None else words.wait_words(seconds), usual.words, _colour(seconds))
        )
    return tuple(cards)


def _colour(seconds: float | None) -> str:
    if seconds is None:
        return BAD
    return GOOD if seconds <= 3600 else FAIR if seconds <= 86_400 else BAD


def _remarks(reading: Reading, past: Series) -> list[str]:
    said = []
    if not reading.clouds:
        said.append("No site says who knows what is taken there: nothing can be reported.")
    known, hours = int(past.known.sum()), past.grid.count
    if reading.clouds and hours and known < hours:
        said.append(
            f"Of the {hours:,} hours before now, {hours - known:,} are not known of any cloud: "
            "nothing recorded them."
        )
    if (past.basis == Basis.AT_LEAST).any():
        said.append(
            "Where only the source's own memory is known, figures of the past are at least: see the end."
        )
    hidden = [
        reading.name(cloud)
        for cloud in reading.clouds
        if cloud.calendar is None or cloud.calendar.sight is not Sight.ALL
    ]
    if hidden:
        said.append(f"Not all that is taken is shown to us at: {', '.join(hidden)}.")
    return said


def _in_all(reading: Reading, resource: str) -> int:
    return sum(size(each.calendar).get(resource, 0) for each in reading.clouds if each.calendar is not None)

"""The report's sections, each made of what the others know."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.document import Column, Picture, Section, Table
from reports.space_use import frames, holding, pictures, words
from reports.space_use.model import Reading
from reports.space_use.series import Series
from reports.space_use.waits import LOOK, USUAL, Wait
from reservations.calendar import VCPU
from reservations.occupancy import size


def clouds(frame: pd.DataFrame) -> Section:
    columns = (
        Column("cloud", "cloud"),
        Column("hosts", "hosts", words.count, numeric=True),
        Column("cores", "cores", words.count, numeric=True),
        Column("memory_gib", "memory", words.memory, numeric=True),
        Column("gpus", "GPUs", words.count, numeric=True),
        Column("share_taken", "taken, mean", words.percent, numeric=True),
        Column("peak_share", "peak", words.percent, numeric=True),
        Column("peak_at", "at (UTC)", words.hour, numeric=True),
        Column("share_booked", "booked ahead", words.percent, numeric=True),
        Column("booked_peak_share", "peak", words.percent, numeric=True),
    )
    note = "Taken: before now, in the hours that are known. Shares are of cores."
    if len(frame) and frame["at_least"].any():
        note += " Of some clouds the past is at least: their sources forget."
    table = Table("clouds", "How much there is, was taken, and is booked", frame, columns, note)
    return Section("Clouds, the fullest first", tables=_some(table))


def amounts(frame: pd.DataFrame) -> Section:
    """The same in resource-hours."""
    columns = (
        Column("cloud", "cloud"),
        Column("core_hours_taken", "core-hours taken", words.count, numeric=True),
        Column("core_hours_ours", "ours", words.count, numeric=True),
        Column("gib_hours_taken", "GiB-hours", words.count, numeric=True),
        Column("share_of_memory_taken", "of memory", words.percent, numeric=True),
        Column("gpu_hours_taken", "GPU-hours", words.count, numeric=True),
        Column("share_of_gpus_taken", "of GPUs", words.percent, numeric=True),
        Column("core_hours_booked", "core-hours booked", words.count, numeric=True),
        Column("gib_hours_booked", "GiB-hours", words.count, numeric=True),
        Column("gpu_hours_booked", "GPU-hours", words.count, numeric=True),
    )
    wanted = ["cloud", *(column.key for column in columns[1:])]
    shown = frame[wanted] if len(frame) else frame
    return Section("In resource-hours", tables=_some(Table("amounts", "Taken, and booked", shown, columns)))


def waiting(reading: Reading, found: Sequence[Wait]) -> Section:
    frame = frames.waiting(reading, found)
    for usual in USUAL:
        frame[usual.name] = [
            words.wait_words(seconds) if pd.notna(seconds) else words.short(why or "")
            for seconds, why in zip(
                frame.get(f"{usual.name}_wait_seconds", ()),
                frame.get(f"{usual.name}_why_not", ()),
                strict=True,
            )
        ]
    columns = (Column("cloud", "cloud"), *(Column(usual.name, usual.words) for usual in USUAL))
    text = (
        f"The first opening of each cloud from {reading.now:%Y-%m-%d %H:%M} UTC on, within {LOOK.days} days.",
    )
    return Section(
        "How long one waits today", text, tables=(Table("waits", "First opening", frame, columns),)
    )


def days(reading: Reading, shown: Sequence[tuple[str, Series, Series]]) -> Section:
    drawn = (pictures.day_by_day(shown[: pictures.MOST], reading.now),) if shown else ()
    return Section("Day by day", _more(len(shown)), drawn)


def days_table(shown: Sequence[tuple[str, Series, Series]]) -> Section:
    columns = (
        Column("cloud", "cloud"),
        Column("day", "day (UTC)", words.day),
        Column("when", ""),
        Column("share", "of the cores", words.percent, numeric=True),
        Column("core_hours_taken", "core-hours", words.count, numeric=True),
        Column("core_hours", "of", words.count, numeric=True),
        Column("gib_hours_taken", "GiB-hours", words.count, numeric=True),
        Column("gpu_hours_taken", "GPU-hours", words.count, numeric=True),
        Column("hours_known", "hours known", words.count, numeric=True),
    )
    frame = frames.days(shown)
    # in print all together, or the one cloud
    printed = int((frame["cloud"] == shown[0][0]).sum()) if shown else 0
    table = Table("days", "Taken, and booked, day by day", frame, columns, printed=printed)
    return Section("Figures of the days", tables=_some(table))


def _more(count: int) -> tuple[str, ...]:
    left = count - pictures.MOST
    return (f"{left} more are in the table.",) if left > 0 else ()


def weeks(shown: Sequence[tuple[str, Series, Series]]) -> tuple[Section, ...]:
    """All together, then cloud by cloud: of the time before where that is known, else of what is ahead."""
    drawn: list[Picture] = []
    said: list[str] = []
    for number, (name, past, ahead) in enumerate(shown[: pictures.MOST]):
        before = bool(past.known.any())
        of = past if before else ahead
        if not of.known.any():
            said.append(f"{name}: nothing is known.")
            continue
        what = "taken" if before else "booked ahead"
        drawn.append(pictures.week(f"{name}: share of cores {what}", of, figures=number == 0))
        if number == 0:
            said.append(f"{name}, {what}: {pictures.week_words(of)}.")
    rest = (Section("Hours of the week, cloud by cloud", pictures=tuple(drawn[1:])),) if drawn[1:] else ()
    return (Section("By hour of the week", tuple(said), tuple(drawn[:1])), *rest)


def holders(reading: Reading, past: Sequence[Series], ahead: Sequence[Series]) -> Section:
    frame = holding.holders(reading, past, ahead)
    columns = (
        Column("holder", "holder"),
        Column("cloud", "cloud"),
        Column("core_hours_taken", "core-hours taken", words.count, numeric=True),
        Column("gpu_hours_taken", "GPU-hours taken", words.count, numeric=True),
        Column("core_hours_booked", "core-hours booked", words.count, numeric=True),
        Column("gpu_hours_booked", "GPU-hours booked", words.count, numeric=True),
    )
    text = (
        "Holders are told as far as the sources show them; what we booked ourselves is “ours”. Bookings that "
        "overlap on a host count for each of their holders, and what only our own record has is not split: "
        "sums may differ from those above.",
    )
    if frame.empty:
        text = ("Nothing was taken that is known of, and nothing is booked.",)
    return Section("Who holds it", text, tables=_some(Table("holders", "By holder", frame, columns)))


def pieces(reading: Reading) -> Section:
    columns = (
        Column("cloud", "cloud"),
        Column("cores_free", "cores free", words.count, numeric=True),
        Column("cores", "of", words.count, numeric=True),
        Column("largest_piece_cores", "largest piece, cores", words.count, numeric=True),
        Column("largest_piece_on", "on"),
        Column("share_outside_largest", "outside of it", words.percent, numeric=True),
        Column("hosts_with_some", "hosts with some", words.count, numeric=True),
        Column("hosts_all_free", "all free", words.count, numeric=True),
        Column("small_pieces", "4 cores, 16 GiB fit", words.times, numeric=True),
        Column("full_until", "full until", words.minute),
    )
    frame = frames.free_now(reading)
    table = Table("free", "Free cores, and the largest piece on one host", frame, columns)
    text = ("Free cores are of use to one machine only where they lie on one host.",)
    return Section("How the free space lies now", text, tables=_some(table))


def calendars(reading: Reading, ahead: Sequence[Series]) -> tuple[Section, ...]:
    """One for each cloud: side by side they couldn't be read in print."""
    shown = [
        (reading.name(one), one.calendar, series)
        for one, series in zip(reading.clouds, ahead, strict=True)
        # of one that hides its hosts there is something to see where something of it is ours
        if one.calendar is not None and (size(one.calendar).get(VCPU) or one.calendar.taken)
    ]
    until = f"{reading.ahead:%Y-%m-%d}"
    found = [
        Section(
            f"{name}: what is taken until {until}",
            pictures=(pictures.calendar(name, calendar, series, reading),),
        )
        for name, calendar, series in shown[: pictures.MOST]
    ]
    left = len(shown) - len(found)
    if left:
        found.append(Section(f"{left} more clouds", (f"{pictures.MOST} are drawn: --sites chooses others.",)))
    return tuple(found)


def credits(reading: Reading) -> Section:
    columns = (
        Column("site", "site"),
        Column("purse", "purse"),
        Column("units_left", "left", words.count, numeric=True),
        Column("units_granted", "of", words.count, numeric=True),
        Column("unit", "in"),
        Column("units_per_day", "spent a day", words.number, numeric=True),
        Column("pace", "pace"),
        Column("lasts_until", "lasts until", words.day),
        Column("valid_until", "valid until", words.day),
    )
    text = () if reading.purses else ("No site names a source of credits.",)
    return Section("Credits", text, tables=_some(Table("credits", "Purses", frames.purses(reading), columns)))


def endings(reading: Reading) -> Section:
    columns = (
        Column("cloud", "cloud"),
        Column("bookings", "bookings", words.count, numeric=True),
        Column("ended", "ended as asked", words.count, numeric=True),
        Column("early", "ended early", words.count, numeric=True),
        Column("unknown", "not told how", words.count, numeric=True),
        Column("failed", "failed", words.count, numeric=True),
        Column("unused", "never active", words.count, numeric=True),
        Column("running", "running", words.count, numeric=True),
        Column("share_of_asked_time_used", "asked time used", words.percent, numeric=True),
    )
    frame = frames.endings(reading)
    text = ("Bookings, leases and jobs of the time before now, as their sources remember them.",)
    return Section("How bookings ended", text, tables=_some(Table("endings", "Ends", frame, columns)))


def hosts(reading: Reading, past: Sequence[Series], ahead: Sequence[Series]) -> Section:
    columns = (
        Column("cloud", "cloud"),
        Column("host", "host"),
        Column("cores", "cores", words.count, numeric=True),
        Column("gpus", "GPUs", words.count, numeric=True),
        Column("share_taken", "taken", words.percent, numeric=True),
        Column("share_booked", "booked ahead", words.percent, numeric=True),
        Column("bookable", "can be booked", words.yes_no),
    )
    frame = holding.hosts(reading, past, ahead)
    note = (
        "Of the past as far as the source tells on which hosts bookings were; our own record has sums alone."
    )
    return Section(
        "Host by host", tables=_some(Table("hosts", "Hosts, the fullest first", frame, columns, note))
    )


def known(reading: Reading, past: Sequence[Series]) -> Section:
    columns = (
        Column("cloud", "cloud"),
        Column("booked_as", "booked as"),
        Column("sight", "shown to us", words.sight),
        Column("age_seconds", "read", words.age, numeric=True),
        Column("known_until", "known until", words.minute),
        Column("past_known_from", "past known from", words.minute),
        Column("hours_recorded", "hours recorded", words.count, numeric=True),
        Column("hours_remembered", "remembered by the source", words.count, numeric=True),
        Column("hours_unknown", "not known", words.count, numeric=True),
    )
    text = []
    for cloud in reading.clouds:
        told = [text for one in cloud.calendars for text in one.remarks]
        told += cloud.past.remarks if cloud.past is not None else []
        if cloud.problem is not None:
            told.append(f"of the past: {cloud.problem}")
        text += [f"{reading.name(cloud)}: {remark}" for remark in dict.fromkeys(told)]
    table = Table("sources", "How old and how whole what is known is", frames.known(reading, past), columns)
    return Section("What this rests on", tuple(text), tables=_some(table))


def _some(table: Table) -> tuple[Table, ...]:
    """A table without rows is none."""
    return () if table.frame.empty else (table,)

"""A NO in words: a summary, the reasons site by site, and the changes with which each site could do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model import Note
from broker.offers import checks
from broker.offers.advice import Way, ways
from broker.offers.candidates import Candidate
from broker.offers.slots import Moment
from reservations.capacity import Booking, Timeline

# ways out of a NO that are told for one site
MOST_WAYS = 4


@dataclass(frozen=True)
class Refusal:
    """The messages, a summary first; and what would make a site's NO a YES, the nearest site first."""

    notes: tuple[Note, ...]
    ways: tuple[Way, ...]


def explain(
    reasons: Sequence[Note],
    candidates: Sequence[Candidate],
    taken: Mapping[str, Sequence[Booking]],
    now: datetime,
    lifetime: timedelta,
) -> Refusal:
    """`reasons` are those of `make_offers`, which was given the rest and made no offer.

    Tries many changes: not for a transaction in which others wait.
    """
    moment = Moment(now, lifetime)
    # no change of the request helps where the client has too many offers open, nor where a broker decides
    closed = {note.values["site"] for note in reasons if note.kind == "open-offers"}
    fixable = [each for each in candidates if each.ready is None and each.site.id not in closed]
    by_site = {
        each.site.id: ways(each, Timeline.of(checks.pool(each.platform), taken.get(each.site.id, ())), moment)
        for each in fixable
    }
    nearest = sorted((found[0] for found in by_site.values() if found), key=lambda way: way.distance)
    return Refusal(tuple(_in_order(reasons, by_site, nearest)), tuple(nearest))


def _in_order(
    reasons: Sequence[Note], by_site: Mapping[str, list[Way]], nearest: Sequence[Way]
) -> list[Note]:
    """The reasons site by site, each with what would help, behind a summary of all."""
    sites = list(dict.fromkeys([*(note.values.get("site", "") for note in reasons), *by_site]))
    notes: list[Note] = []
    for site in sites:
        notes += [note for note in reasons if note.values.get("site", "") == site]
        found = by_site.get(site, [])[:MOST_WAYS]
        if found:
            words = [way.words for way in found]
            values = {"site": site, "change": "; or if you ".join(words)}
            notes.append(Note("nearest-change", "{site} could do this if you {change}", values))
    named = [site for site in sites if site]
    return [_summary(named, reasons, nearest), *notes] if named else notes


def _summary(sites: Sequence[str], reasons: Sequence[Note], nearest: Sequence[Way]) -> Note:
    values = {"sites": str(len(sites)), "site": sites[0]}
    if len(sites) == 1:
        text = "{site} is the only site here with a platform, and can't do this"
    else:
        text = "None of the {sites} sites can do this"
    if nearest:
        values |= {"site": nearest[0].site_id, "change": nearest[0].words}
        text += "; it could if you {change}" if len(sites) == 1 else "; nearest: {site}, if you {change}"
        return Note("no-site", text, values)
    counts = {site: [note for note in reasons if note.values.get("site") == site] for site in sites}
    site = min(sites, key=lambda each: len(counts[each]))
    values |= {"site": site, "reason": counts[site][0].text.removeprefix(f"{site}: ")}
    text += ": {reason}" if len(sites) == 1 else "; fewest reasons stand against {site}: {reason}"
    return Note("no-site", text, values)

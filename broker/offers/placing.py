"""From a slot to a priced placement that keeps the request's limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from broker.model import Level, Note, Placement
from broker.offers import price
from broker.offers.candidates import Candidate
from broker.offers.credit import credit_cost, unpayable
from broker.offers.limits import Broken, broken
from broker.offers.rank import Priced
from broker.offers.slots import Moment, Slot, earliest_slot, larger_slot, most
from broker.offers.windows import ceil_second
from broker.platforms import ReadyOffer
from reservations.capacity import Capacity, Timeline


def place(candidate: Candidate, taken: Timeline, moment: Moment, count: int) -> list[Priced] | list[Broken]:
    """At most `count` offers that could all be held at once; the limits that none keeps; or nothing at all.

    The earliest, and behind it the first with more of the requested maximum where that comes later.
    """
    slot = earliest_slot(candidate, taken, moment)
    if slot is None:
        return []
    first = _within_limits(candidate, slot, moment)
    if not isinstance(first, Priced) or count < 2:
        return [first] if isinstance(first, Priced) else first
    slot = larger_slot(candidate, taken, moment, first.placement)
    second = _within_limits(candidate, slot, moment) if slot else None
    if not isinstance(second, Priced) or _size(first.placement).fits(_size(second.placement)):
        return [first]
    return [first, replace(second, instead_of=first.placement)]


def place_ready(candidate: Candidate, moment: Moment, count: int) -> tuple[list[Priced], list[Note]]:
    """The offers of a site's own broker, and why others of them can't be passed on."""
    offers: list[Priced] = []
    notes: list[Note] = []
    for ready in candidate.ready or ():
        found = _passed_on(candidate, ready, moment)
        if isinstance(found, Note):
            notes.append(found)
            continue
        problems = broken(candidate.request, found.placement, candidate.site.id)
        if problems:
            notes += [problem.note for problem in problems]
        else:
            offers.append(found)
    offers.sort(key=lambda offer: (offer.result, offer.price))
    return offers[:count], [] if offers else notes


def least_problems(candidate: Candidate, slot: Slot, moment: Moment) -> list[Broken]:
    """The limits that the least that was asked for breaks in `slot`."""
    return _problems(candidate, replace(slot, size=candidate.need), moment)


def _within_limits(candidate: Candidate, slot: Slot, moment: Moment) -> Priced | list[Broken]:
    """As much of the slot's size as the limits allow; or the limits that the least breaks, too."""
    need, size = candidate.need, slot.size
    steps = max(size.cores - need.cores, size.memory_gib - need.memory_gib)

    def part(step: int) -> Slot:
        cores = need.cores + (size.cores - need.cores) * step // max(steps, 1)
        memory_gib = need.memory_gib + (size.memory_gib - need.memory_gib) * step // max(steps, 1)
        return replace(slot, size=Capacity(cores, memory_gib, need.storage_gib))

    def problems(step: int) -> list[Broken]:
        return _problems(candidate, part(step), moment)

    whole = problems(steps)
    if not whole:
        return _priced(candidate, slot, moment)
    least = problems(0)
    if least:
        return least
    step = most(0, steps, lambda step: not problems(step))
    offer = _priced(candidate, part(step), moment)
    text = (
        "{site} has {cores} cores and {memory} GiB free then, but more than is offered breaks the limit of "
    )
    text += "{type}"
    values = {"site": candidate.site.id, "cores": str(size.cores), "memory": str(size.memory_gib)}
    values["type"] = whole[0].limit.type
    note = Note("size-limited", text, values, Level.INFO, whole[0].note.path)
    placement = replace(offer.placement, notes=(*offer.placement.notes, note))
    return replace(offer, placement=placement)


def _problems(candidate: Candidate, slot: Slot, moment: Moment) -> list[Broken]:
    """The request's limits that it breaks, and those of the credits."""
    bill = _bill(candidate, slot, moment)
    return [
        *broken(candidate.request, bill, candidate.site.id),
        *unpayable(candidate, slot, moment.now),
    ]


def _bill(candidate: Candidate, slot: Slot, moment: Moment) -> price.Bill:
    first, last = _result(candidate, slot, moment)
    seconds = (first - moment.now).total_seconds(), (ceil_second(last) - moment.now).total_seconds()
    credits = credit_cost(candidate, slot, moment.now)
    booked = replace(candidate.request, duration=candidate.duration)
    return price.bill(candidate.site, booked, slot.size, candidate.staging, seconds, credits, candidate.pull)


def _result(candidate: Candidate, slot: Slot, moment: Moment) -> tuple[datetime, datetime]:
    """When it is expected to have ended: 10 % and 90 % quantiles.

    The latter to the fraction of a second that ranking needs. Starts on the wire are whole seconds, so what
    is said is the next whole one.
    """
    request, now, inside = candidate.request, moment.now, candidate.inside
    shortest = request.duration + timedelta(seconds=inside.p10)
    longest = request.duration + timedelta(seconds=inside.p90)
    if not slot.waits_for_data:
        return slot.start + shortest, slot.start + longest
    soonest = ceil_second(now + timedelta(seconds=candidate.prepare.p10))
    ready = now + timedelta(seconds=candidate.prepare.p90)
    last = max(ready, request.earliest_start) + longest
    return min(max(soonest, request.earliest_start) + shortest, ceil_second(last)), last


def _priced(candidate: Candidate, slot: Slot, moment: Moment) -> Priced:
    size, bill = slot.size, _bill(candidate, slot, moment)
    placement = Placement(
        site_id=candidate.site.id,
        cores=size.cores,
        memory_gib=size.memory_gib,
        storage_gib=size.storage_gib,
        prepare_start=slot.prepare_start,
        prepare_seconds=candidate.prepare.p90,
        start=slot.start,
        duration=candidate.duration,
        staging=candidate.staging,
        costs=bill.costs,
        metrics=bill.metrics,
        notes=candidate.warnings,
        start_within=slot.start_within,
        component_costs=bill.component_costs,
        component_metrics=bill.component_metrics,
        inside_seconds=candidate.inside.p90,
    )
    return Priced(placement, _result(candidate, slot, moment)[1], slot.waits_for_data)


def _passed_on(candidate: Candidate, ready: ReadyOffer, moment: Moment) -> Priced | Note:
    """An offer of the site's own broker with our cost of moving data there, or why it won't do."""
    request, site = candidate.request, candidate.site.id
    earliest = max(request.earliest_start, moment.ready(candidate))
    last = min(ready.start + ready.start_within, request.latest_start)
    start = max(ready.start, earliest)
    if ceil_second(start) <= last:
        start = ceil_second(start)
    least = candidate.need
    values = {"site": site}
    if ready.expires <= moment.now:
        return _useless("{site}: the offer of its broker has expired already", values)
    if start > last:
        text = "{site}: its broker offers a start from {first} to {last}, which is not what was asked for"
        values |= {"first": f"{ready.start:%Y-%m-%dT%H:%M:%SZ}"}
        values |= {"last": f"{ready.start + ready.start_within:%Y-%m-%dT%H:%M:%SZ}"}
        return _useless(text, values)
    if ready.cores < least.cores or ready.memory_gib < least.memory_gib or ready.duration < request.duration:
        text = "{site}: its broker offers {cores} cores and {memory} GiB for {seconds} s, less than was asked"
        values |= {"cores": str(ready.cores), "memory": str(ready.memory_gib)}
        values |= {"seconds": f"{ready.duration.total_seconds():.0f}"}
        return _useless(text, values)
    # what a broker gives beyond the asked maximum is not promised on
    cores, memory = request.cores.maximum or ready.cores, request.memory_gib.maximum or ready.memory_gib
    result = start + request.duration
    seconds = (result - moment.now).total_seconds(), (ceil_second(result) - moment.now).total_seconds()
    bill = price.foreign_bill(candidate.site, ready.costs, ready.metrics, candidate.staging, seconds)
    placement = Placement(
        site_id=site,
        cores=min(ready.cores, cores),
        memory_gib=min(ready.memory_gib, memory),
        storage_gib=least.storage_gib,
        # that broker holds it for a while only, and must be told soon
        prepare_start=moment.now,
        prepare_seconds=candidate.prepare.p90,
        start=start,
        duration=ready.duration,
        staging=candidate.staging,
        costs=bill.costs,
        metrics=bill.metrics,
        notes=(*candidate.warnings, *ready.notes),
        start_within=last - start,
        component_costs=bill.component_costs,
        component_metrics=bill.component_metrics,
        reference=ready.reference,
        expires=ready.expires,
    )
    return Priced(placement, result, start == moment.ready(candidate))


def _useless(text: str, values: dict[str, str]) -> Note:
    return Note("broker-offer", text, values, Level.ERROR)


def _size(placement: Placement) -> Capacity:
    return Capacity(placement.cores, placement.memory_gib, placement.storage_gib)

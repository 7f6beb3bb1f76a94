"""What an offer takes of the credits at its site, and whether they pay for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from broker.model import Figure, Level, Limit, Note
from broker.offers.calendars import Charged
from broker.offers.candidates import Candidate
from broker.offers.changes import shorter
from broker.offers.limits import Broken
from broker.offers.slots import Slot
from reservations import afford
from reservations.calendar import MEMORY_MB, VCPU, Amounts, Need

CREDITS = "urn:fairlead:cost:credits"
_NO_FLAVOURS: Mapping[str, tuple[str, Amounts]] = {}


def credit_cost(candidate: Candidate, slot: Slot, now: datetime) -> Figure | None:
    """What the purse from which the booking takes most has to pay; None where the site has no credits."""
    if candidate.accounts is None:
        return None
    asked = _charged(candidate, slot)
    found = afford.charges(candidate.accounts, asked.need, asked.duration, now, asked.amounts, asked.flavours)
    priced = [charge for charge in found if charge.cost]
    words = " and ".join(
        f"{afford.amount(charge.units)} {charge.account.unit} of {charge.account.name}" for charge in priced
    )
    cost = max((charge.units for charge in priced), default=0.0)
    return Figure(CREDITS, cost, cost, f"Credits that are booked at once: {words or 'none'}")


def unpayable(candidate: Candidate, slot: Slot, now: datetime) -> list[Broken]:
    """Why the credits don't pay for it, and for how long they would; empty where they do."""
    if candidate.accounts is None:
        return []
    accounts, asked = candidate.accounts, _charged(candidate, slot)
    if afford.affordable(accounts, asked.need, asked.duration, now, asked.amounts, asked.flavours):
        return []
    words = afford.in_words(
        accounts, asked.need, asked.duration, now, "session", asked.amounts, asked.flavours
    )
    note = Note("credits", "{site}: {reason}", {"site": candidate.site.id, "reason": words}, Level.ERROR)
    most = afford.longest(accounts, asked.need, now, asked.amounts, asked.flavours).most
    change = None
    if isinstance(most, timedelta):
        # what is booked beside the session's own time stays as long as it is
        left = candidate.request.duration - (asked.duration - most)
        minutes = left // timedelta(minutes=1)
        if minutes >= 1:
            change = shorter(candidate.request, timedelta(minutes=minutes))
    return [Broken(Limit(CREDITS), note, change)]


def _charged(candidate: Candidate, slot: Slot) -> Charged:
    """What is paid for: what is reserved at the cloud, else what the session has while it runs."""
    size, duration = slot.size, candidate.duration
    calendars = candidate.calendars
    if calendars is not None and calendars.books:
        found = calendars.charged(size, slot.start, slot.start + slot.start_within + duration)
        if found is not None:
            return found
    need = Need({VCPU: size.cores, MEMORY_MB: size.memory_gib * 1024})
    return Charged(need, duration, need.amounts, _NO_FLAVOURS)

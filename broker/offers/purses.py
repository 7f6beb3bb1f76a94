"""What may still be spent at the sites: asked before offers are made."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

from broker.model import Level, Note
from broker.offers.candidates import Candidate
from federation.clock import Clock
from federation.errors import FairleadError
from federation.sites import Federation
from federation.units import format_age
from reservations.credits import Account, CreditSource, load_credits

log = logging.getLogger(__name__)

# what is this young is not asked for again
FRESH = timedelta(seconds=30)
SITES_AT_ONCE = 16


@dataclass(frozen=True)
class _Seen:
    """What a source said when it was `asked`; `tried` last, and with which `problem`."""

    accounts: tuple[Account, ...] | None
    asked: datetime
    tried: datetime
    problem: str | None = None


class Purses:
    """The credits of all sites; may be used from several threads. Blocks where it asks, all at the same time.

    A source that can't be asked keeps nobody from anything: what it said last counts, and the cloud decides.
    """

    def __init__(self, sources: Mapping[str, CreditSource], clock: Clock) -> None:
        self._sources, self._clock = dict(sources), clock
        self._turns = {site: Lock() for site in sources}
        self._seen: dict[str, _Seen] = {}

    def known(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """The candidates with what may be spent at their sites, and how sure that is."""
        wanted = list(candidates)
        sites = {each.site.id for each in wanted if each.ready is None} & set(self._sources)
        if not sites:
            return wanted
        with ThreadPoolExecutor(max_workers=SITES_AT_ONCE, thread_name_prefix="credits") as pool:
            seen = dict(zip(sites, pool.map(self._look, sites), strict=True))
        return [
            _with(each, seen[each.site.id], self._clock.now()) if each.site.id in seen else each
            for each in wanted
        ]

    def _look(self, site: str) -> _Seen:
        with self._turns[site]:
            now, seen = self._clock.now(), self._seen.get(site)
            if seen is not None and now - seen.tried < FRESH:
                return seen
            try:
                seen = _Seen(tuple(self._sources[site].accounts()), now, now)
            except FairleadError as error:
                log.warning("the credits of %s could not be asked for: %s", site, error)
                known, asked = (None, now) if seen is None else (seen.accounts, seen.asked)
                seen = _Seen(known, asked, now, str(error))
            self._seen[site] = seen
            return seen


def load_purses(federation: Federation, clock: Clock) -> dict[str, CreditSource]:
    """By site, of those that run something and have credits. Raises InputError for a source that nobody
    knows, or whose options it can't use."""
    found = {site.id: load_credits(site, clock) for site in federation if site.platform is not None}
    return {site: source for site, source in found.items() if source is not None}


def _with(candidate: Candidate, seen: _Seen, now: datetime) -> Candidate:
    values = {"site": candidate.site.id}
    notes = []
    if seen.problem is not None:
        text = "{site}: its credits could not be asked for ({problem}); "
        values |= {"problem": seen.problem, "age": format_age((now - seen.asked).total_seconds())}
        text += "the cloud decides" if seen.accounts is None else "this is what was left {age} ago"
        notes.append(Note("credits", text, values, Level.WARN))
    return replace(candidate, accounts=seen.accounts, warnings=(*candidate.warnings, *notes))

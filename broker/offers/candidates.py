"""Where a request could run: the sites whose platform, policy and size allow it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from broker.images import Looked
from broker.model import DataItem, Level, Note, Part, Request
from broker.offers import checks, policy
from broker.offers.calendars import Held, SiteCalendars
from broker.offers.changes import Change, within_site
from broker.offers.images import Pull, judged, pull_note, pull_of
from broker.offers.reach import Reach
from broker.platforms import OffersItself, PullsImages, ReadyOffer, SaysWhatFits
from broker.platforms import Platform as Backend
from federation.sites import Federation, Platform, Site
from netprobe.cost import NOTHING, Item, Staging, plan_staging
from netprobe.forecast import ForecastPath
from netprobe.quantiles import Quantiles
from reservations.capacity import Capacity
from reservations.credits import Account


@dataclass(frozen=True)
class Candidate:
    """A site that can run the request when it has room. `prepare`: seconds until what is brought before the
    start is there; `inside`: seconds of the session's time until what is brought then is (`inside.py`).

    With `reasons` it can run it only once `changes` are made; `request` has them already, so that what would
    come of them can be looked at. With `ready` the site's own broker has made offers, and nothing is left to
    find.
    """

    site: Site
    platform: Platform
    request: Request
    staging: Staging
    prepare: Quantiles
    need: Capacity
    warnings: tuple[Note, ...] = ()
    reasons: tuple[Note, ...] = ()
    changes: tuple[Change, ...] = ()
    ready: tuple[ReadyOffer, ...] | None = None
    # when its hosts have room, where something else than the ledger knows
    calendars: SiteCalendars | None = None
    # what may be spent there, where the site has credits and they are known
    accounts: tuple[Account, ...] | None = None
    # the image, where it is to be pulled and its registry has said what it is
    pull: Pull | None = None
    inside: Quantiles = NOTHING

    @property
    def duration(self) -> timedelta:
        """How long the session is booked for: what is brought in its time comes on top of what is asked."""
        # to the microsecond first, as instants are: what is less is no second more
        inside = timedelta(seconds=self.inside.p90)
        return self.request.duration + timedelta(seconds=math.ceil(inside.total_seconds()))

    def beside(self, held: Iterable[Held]) -> Candidate:
        """The same where this is promised to others besides what the site's calendars say."""
        return self if self.calendars is None else replace(self, calendars=self.calendars.beside(held))

    def asking(self, request: Request) -> Candidate:
        """The same for a request that differs in sizes, times or limits alone."""
        return replace(self, request=request, need=checks.need(request))


def assess(
    site: Site,
    backend: Backend,
    request: Request,
    forecast: ForecastPath,
    federation: Federation,
    looked: Looked | None = None,
    reach: Reach | None = None,
) -> Candidate | tuple[Note, ...]:
    """The site as a candidate, or all the reasons why nothing but another request would make it one.

    `looked`: what registries say of the image, None where they were not asked. `reach`: what the site may
    fetch from; None: from anywhere.
    """
    platform = site.platform
    if platform is None:
        text = "{site} has no compute platform"
        return (Note("no-platform", text, {"site": site.id}),)
    refused = [_naming(site, note) for note in backend.check(request.executable)]
    refused += policy.executable_refused(site, request.executable)
    # a site's own broker fetches by its own rules
    data, said = policy.usable_data(site, request, None if isinstance(backend, OffersItself) else reach)
    if isinstance(backend, SaysWhatFits):
        platform = backend.bounded(platform)
        said = [*said, *(_naming(site, note) for note in backend.check_request(request))]
    if looked is not None and isinstance(backend, PullsImages):
        said = [*said, *(_naming(site, note) for note in judged(site, backend, looked, request.executable))]
    refused += [note for note in said if note.level is Level.ERROR]
    for position, item in enumerate(request.data):
        if not item.replicas:
            text = "{name} has no replica to bring to {site}: name a location"
            values = {"name": item.name, "site": site.id}
            refused.append(Note("no-replica", text, values, Level.ERROR, f"/data/{position}"))
    large = checks.too_large(site, platform, request)
    changed = within_site(platform, request) if large else ((), request)
    if refused or changed is None:
        return (*refused, *large)
    changes, possible = changed
    items = [each for item in data for each in _to_move(item)]
    staging = plan_staging(items, site.id, forecast, site.link_bits_per_second)
    pull = None
    if looked is not None and looked.image is not None and isinstance(backend, PullsImages):
        outside = backend.outside_bits_per_second()
        pull = pull_of(looked.image, backend.image_layers(), federation, site, forecast, outside)
        said = [*said, pull_note(pull)]
        image = pull.seconds
    else:
        image = at_most(backend.image_seconds(request.executable))
    # the image is brought when the data is there
    prepare = staging.seconds + image
    notes = (*checks.capped(site, platform, request), *said)
    need = checks.need(possible)
    return Candidate(
        site, platform, possible, staging, prepare, need, notes, tuple(large), changes, pull=pull
    )


def at_most(seconds: float) -> Quantiles:
    """What takes `seconds` (90 % quantile), of which no more is known; at best there is nothing to do."""
    return Quantiles(0.0, seconds, seconds)


def _to_move(item: DataItem) -> list[Item]:
    """The item as the cost model has it: each of its parts by itself, where it comes in parts."""
    parts = item.parts or (Part(checks.size_bytes(item), item.files, item.replicas),)
    return [
        Item(item.uuid, part.size_bytes, [(each.url, each.site_id) for each in part.replicas], part.files)
        for part in parts
    ]


def _naming(site: Site, note: Note) -> Note:
    """The note with the site's name in it: what a platform says of an image may be without."""
    template = note.template if "{site}" in note.template else "{site}: " + note.template
    return replace(note, template=template, values={"site": site.id, **note.values})

"""OpenStack Blazar: what is reserved, and what of it the caller may see.

[[sites.perth.space]]
source = "blazar"
[sites.perth.space.options]
cloud = "perth"                 # of clouds.yaml; without it OS_CLOUD or OS_*
kinds = ["physical:host"]       # what this Blazar makes; all are assumed without it
cleaning_minutes = 10           # Blazar's own `cleaning_time`, which no API tells
longest = "7d"                  # its longest lease, likewise
gpus = "gpu_count"              # the property of hosts that says how many GPUs they have
probes = 20                     # questions that may be asked where the calendar is hidden; none without it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from federation.about import About
from federation.clock import Clock
from federation.errors import InputError, OutsideError
from federation.sites import Site, Space
from federation.units import parse_duration
from reservations.calendar import Calendar, Host, Need, Sight, Taken
from reservations.history.past import Past
from reservations.leases import LeaseState
from reservations.openstack import said
from reservations.openstack.blazar import Blazar, SaidNoError
from reservations.openstack.calendars import Known, Ways, calendar
from reservations.openstack.connection import cloud_of
from reservations.openstack.dates import MINUTE
from reservations.openstack.kinds import KINDS
from reservations.openstack.known import Seen, look
from reservations.openstack.leases import BlazarLeases
from reservations.openstack.past import past
from reservations.openstack.probe import Confirmation, Prober
from reservations.openstack.states import read_lease

_OPTIONS = ("cloud", "timeout_seconds", "kinds", "cleaning_minutes", "longest", "gpus", "probes")
# The one host of a calendar whose hosts are hidden: the caller's own reservations are on it.
_HIDDEN = "hidden"
_ASSUMED = (
    "which kinds of reservations this cloud makes isn't told by its API, and all are assumed: name them "
    "with the option kinds"
)


class BlazarSource:
    """One site's Blazar: its calendars, its leases, and questions to it where it hides its calendar."""

    ABOUT = About(
        does="What an OpenStack cloud has reserved by Blazar, and what it may still reserve.",
        cannot="Sees no calendar where the cloud hides it, and asks question by question then.",
        modules=("openstack",),
        extra="openstack",
    )

    def __init__(self, site: Site, space: Space, clock: Clock) -> None:
        where = f"[[sites.{site.id}.space]] blazar"
        options = space.options
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise InputError(f"{where}: unknown {', '.join(unknown)}: expected {', '.join(_OPTIONS)}")
        self._site, self._clock = site, clock
        self._kinds = _kinds(options, where)
        self._ways = Ways(
            timedelta(minutes=_whole(options, "cleaning_minutes", where)),
            _length(options, where),
            _text(options, "gpus", where),
        )
        self._blazar = Blazar(cloud_of(options, where))
        self._prober = Prober(self._blazar, clock, _whole(options, "probes", where))

    def calendars(self, start: datetime, end: datetime) -> Sequence[Calendar]:
        now = self._clock.now()
        seen = self._look()
        offered = {kind: self._offers(kind, seen.known) for kind in self._kinds or KINDS}
        found = [
            self._hidden(seen, kind, now, end)
            if seen.hidden
            else _within(calendar(seen.known, kind, self._ways, self._site.id, now, end), start)
            for kind, offer in offered.items()
            if offer is not False
        ]
        return [
            each if offered[each.kind] else replace(each, remarks=(*each.remarks, _ASSUMED)) for each in found
        ]

    def past(self, start: datetime, end: datetime) -> Past:
        """What the leases say that are still there."""
        seen = self._look()
        return past(seen.known, self._ways, seen.hidden, start, end)

    def leases(self) -> BlazarLeases:
        """Reserving at this cloud."""
        return BlazarLeases(self._blazar, self._clock, gpu_property=self._ways.gpu_property)

    def confirm(self, need: Need, kind: str, start: datetime, end: datetime) -> Confirmation:
        """Ask the cloud itself whether it would grant this, as far as the option `probes` allows."""
        return self._prober.confirm(need, kind, start, end)

    def first(
        self, need: Need, kind: str, duration: timedelta, starts: Sequence[datetime]
    ) -> tuple[datetime, Confirmation] | None:
        """The first of `starts` that the cloud itself says it would grant, as far as `probes` allows."""
        return self._prober.first(need, kind, duration, starts)

    def _look(self) -> Seen:
        try:
            return look(self._blazar)
        except SaidNoError as error:
            raise OutsideError(
                f"site {self._site.id}: Blazar of {self._blazar.cloud} doesn't tell its reservations: "
                f"{said.meaning(error.said, error.status).text}"
            ) from None

    def _offers(self, kind: str, known: Known) -> bool | None:
        """Whether this Blazar makes reservations of this kind: by the options, by its leases, or asked."""
        seen = {each["resource_type"] for lease in known.leases for each in lease["reservations"]}
        return bool(self._kinds) or kind in seen or self._prober.offers(kind)

    def _hidden(self, seen: Seen, kind: str, now: datetime, end: datetime) -> Calendar:
        """Of a cloud that hides its calendar: the caller's own reservations, and no space to promise."""
        host = Host(_HIDDEN, f"hosts of {self._site.name} (hidden)", {}, bookable=False)
        own = [
            each for each in seen.known.leases if kind in {r["resource_type"] for r in each["reservations"]}
        ]
        flavours = seen.known.flavours if kind == "flavor:instance" else {}
        return Calendar(
            site=self._site.id,
            source="blazar",
            kind=kind,
            hosts=(host,),
            taken=tuple(each for each in _own(own, seen.known, now) if each.start < end),
            rules=self._ways.rules(kind),
            known_at=now,
            until=end,
            sight=Sight.OWN,
            remarks=tuple(self._hidden_remarks(seen)),
            flavours={each.id: (each.name, each.asked) for each in flavours.values()},
        )

    def _hidden_remarks(self, seen: Seen) -> Iterator[str]:
        lines = " and ".join(seen.hidden)
        yield (
            "this cloud hides its calendar from you: only your own project's reservations are seen. To see "
            f"it, ask its operator to open {lines} in Blazar's policy.yaml to project members (reading only)"
        )
        if self._prober.left:
            yield f"{self._prober.left} questions may be put to the cloud itself (option probes)"


def _own(leases: Sequence[Mapping[str, Any]], known: Known, now: datetime) -> Iterator[Taken]:
    for document in leases:
        lease = read_lease(document)
        if lease.state not in (LeaseState.PENDING, LeaseState.ACTIVE) or lease.end <= now:
            continue
        amounts = None
        if lease.need is not None and not lease.need.whole_hosts:
            amounts = {name: amount * lease.need.units for name, amount in lease.need.amounts.items()}
        holder = known.projects.get(lease.holder or "", lease.holder)
        yield Taken(_HIDDEN, lease.start, lease.end, amounts, lease.id, lease.name, holder, lease.reference)


def _within(found: Calendar, start: datetime) -> Calendar:
    """Without what is over before it could matter to a booking from `start` on."""
    since = start - found.rules.cleaning - MINUTE
    return replace(found, taken=tuple(each for each in found.taken if each.end is None or each.end >= since))


def _kinds(options: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Those that the options name; none: they don't say."""
    kinds = options.get("kinds")
    if kinds is None:
        return ()
    if isinstance(kinds, str) or not isinstance(kinds, Sequence) or not kinds or not set(kinds) <= set(KINDS):
        raise InputError(f"{where}.kinds: expected a list of {', '.join(KINDS)}, got {kinds!r}")
    return tuple(kinds)


def _whole(options: Mapping[str, Any], name: str, where: str) -> int:
    value = options.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{where}.{name}: expected a whole number of at least 0, got {value!r}")
    return value


def _text(options: Mapping[str, Any], name: str, where: str) -> str | None:
    value = options.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise InputError(f"{where}.{name}: expected a name, got {value!r}")
    return value


def _length(options: Mapping[str, Any], where: str) -> timedelta | None:
    text = _text(options, "longest", where)
    try:
        return None if text is None else parse_duration(text)
    except InputError as error:
        raise InputError(f"{where}.longest: {error}") from None

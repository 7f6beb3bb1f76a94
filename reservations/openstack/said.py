"""What Blazar's and Nova's own sentences mean: which limit it was, in words for the person who asked.

Blazar says several things with one sentence, and says "no" with 400, 403, 404, 409 and 500 alike: the text
decides, not the status.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from federation.units import format_seconds

CAPACITY = "capacity"
KIND = "kind"
CONFLICT = "conflict"
PROPERTIES = "properties"
RIGHTS = "rights"
DURATION = "duration"
CREDITS = "credits"
DATES = "dates"
REQUEST = "request"
FLAVOUR = "flavour"
AFFINITY = "affinity"
QUOTA = "quota"
GONE = "gone"
BEFORE_END = "before-end"
FAULT = "fault"
VERSION = "version"
SITE = "site"


@dataclass(frozen=True)
class Meaning:
    """A refusal understood: the limit that stood in the way, and a sentence."""

    limit: str
    text: str


def _length(seconds: str) -> str:
    return format_seconds(int(seconds))


def _plain(text: str) -> Callable[[re.Match[str]], str]:
    return lambda match: match.expand(text)


_RIGHTS = {
    "leases:post": "make reservations",
    "leases:put": "change reservations",
    "leases:delete": "give reservations up",
    "leases:get": "see this reservation, which belongs to another project,",
    "oshosts:get": "see the hosts",
    "oshosts:get_allocations": "see what is reserved",
    "oshosts:get_resource_properties": "see which properties hosts have",
}


def _right(match: re.Match[str]) -> str:
    action = match[1]
    what = _RIGHTS.get(action.removeprefix("blazar:"))
    if what is None:
        return f"the cloud's policy doesn't allow that to you (its line {action})"
    return f"the cloud's policy doesn't allow you to {what} (its line {action})".replace(", (", " (")


_SENTENCES: tuple[tuple[str, str, Callable[[re.Match[str]], str]], ...] = (
    (
        r"^Not enough hosts available$",
        CAPACITY,
        _plain(
            "not enough hosts are free for all of that time, or so many don't exist, or none is as asked "
            "for: Blazar says the same of all three"
        ),
    ),
    (r"^Not enough floating IPs available$", CAPACITY, _plain("not enough floating addresses are free then")),
    (
        r"^Conflicting reservation types found$",
        CONFLICT,
        _plain(
            "a virtual:instance reservation overlaps, on whatever host: Blazar makes no flavor:instance "
            "reservation beside one"
        ),
    ),
    (
        r"^The (\S+) resource type is not supported$",
        KIND,
        _plain(r"this cloud makes no reservations of kind \1"),
    ),
    (
        r"^Updating (?:leases|parameters) for 'flavor:instance' type reservations",
        KIND,
        _plain("this Blazar can't change a flavor:instance reservation: give it up and make another"),
    ),
    (r"^BlazarDBNotFound", PROPERTIES, _plain("no host of this cloud has a property of that name")),
    (
        r"^Malformed requirements (.*)$",
        PROPERTIES,
        _plain(r'the properties \1 make no sense: expected a list such as ["==", "$gpu", "True"]'),
    ),
    (r"Policy (?:doesn't|does not) allow (\S+) to be performed", RIGHTS, _right),
    (
        r"requires authentication",
        RIGHTS,
        _plain(
            "the cloud doesn't accept these credentials: they are wrong, or have expired, or don't reach "
            "this far"
        ),
    ),
    (
        r"^Lease duration of (\d+) seconds must be less than or equal to the maximum lease duration of "
        r"(\d+) seconds",
        DURATION,
        lambda match: (
            f"{_length(match[1])} is longer than this cloud's longest reservation, {_length(match[2])}"
        ),
    ),
    (
        r"^External service enforcement filter denied the request",
        CREDITS,
        _plain("the cloud's credit service refused it and didn't say why, or couldn't be asked"),
    ),
    (
        r"^Quota exceeded for ([^:]+): Requested (.+?), but already used (.+?) of (.+?) \S+$",
        QUOTA,
        _plain(r"your project's quota of \1 stands in the way: \2 more asked for, \3 of \4 in use"),
    ),
    (
        r"^(.+) is an invalid date\. Required format",
        DATES,
        _plain(r"\1 is no date for Blazar: expected UTC in whole minutes, such as 2026-12-01 08:00"),
    ),
    (r"^Start date must be later than current date", DATES, _plain("the start lies in the past")),
    (r"^End date must be later than start date", DATES, _plain("the end isn't after the start")),
    (r"^End date must be later than current and start date", DATES, _plain("the new end lies in the past")),
    (
        r"^Cannot modify the start date of already started leases",
        DATES,
        _plain("the reservation has begun, so that its start can't be moved"),
    ),
    (
        r"^Terminated leases can only be renamed",
        DATES,
        _plain("the reservation has ended, and can't be changed"),
    ),
    (
        r"^Datetime is out of lease limits",
        BEFORE_END,
        _plain("the warning before the end (before_end_date) lies outside of the reservation"),
    ),
    (r"^Missing parameter (.+)$", REQUEST, _plain(r"the request lacks \1")),
    (r"^Malformed parameter (.+)$", REQUEST, _plain(r"the request's \1 can't be read")),
    (
        r"^Invalid values for min/max of hosts",
        REQUEST,
        _plain("fewer hosts at most than at least were asked for"),
    ),
    (
        r"^Flavor (\S+) could not be found",
        FLAVOUR,
        _plain(r"your project has no flavour \1: it doesn't exist, or is another project's reservation"),
    ),
    (
        r"^Affinity not supported yet",
        AFFINITY,
        _plain("a flavor:instance reservation can't say whether instances share hosts: virtual:instance can"),
    ),
    (
        r"^Instance reservation doesn't allow to reduce/replace",
        CAPACITY,
        _plain("the hosts of this running reservation aren't free for so long, and it can't move to others"),
    ),
    (r"^Object with \{'host_id'.* not found$", GONE, _plain("there is no such host (any more)")),
    (r"^The requested URL was not found", KIND, _plain("this cloud has nothing of that kind")),
    (r"^Object with .* not found$", GONE, _plain("there is no such reservation (any more)")),
    (
        r"is not supported by the API",
        VERSION,
        _plain("this Blazar doesn't speak the version that it was asked in"),
    ),
    (
        r"^Invalid input for field/attribute reservations",
        VERSION,
        _plain("Blazar was asked in its version 2, which can't list reservations: expected version 1"),
    ),
    (
        r"^No valid host was found\. There are not enough hosts available",
        CAPACITY,
        _plain("there were hosts with enough left, but none of them takes servers like this one"),
    ),
    (r"^No valid host was found", CAPACITY, _plain("no host had enough left for it")),
    (
        r"^Internal Server Error$",
        FAULT,
        _plain(
            "Blazar failed inside, and doesn't say why: its operator finds it in the log of blazar-manager"
        ),
    ),
)
_PATTERNS = tuple((re.compile(pattern), limit, text) for pattern, limit, text in _SENTENCES)
_OF_CREDITS = re.compile(
    r"\b(credits?|allocations?|balance|budget|(core|node|su|gpu)-?hours?|SUs?)\b", re.IGNORECASE
)


def meaning(said: str, status: int | None = None) -> Meaning:
    """What a sentence of Blazar or Nova means. One that isn't known is passed on as it is.

    With 400 and 403 Blazar passes on what a site's own service for credits says: of that the words decide.
    """
    said = said.strip()
    for pattern, limit, text in _PATTERNS:
        match = pattern.search(said)
        if match:
            return Meaning(limit, text(match))
    if status in (400, 403) and _OF_CREDITS.search(said):
        return Meaning(CREDITS, f"the cloud's credit service says: {said}")
    if status in (400, 403):
        return Meaning(SITE, f"the cloud refuses it: {said}")
    return Meaning(FAULT, f"the cloud says: {said}" if said else "the cloud refuses it without a word")

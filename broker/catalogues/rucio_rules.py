"""Data that Rucio itself brings to a site's storage, by a replication rule for each session that needs it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

from broker.catalogues import Brought, CatalogueError, StagingRefused
from broker.catalogues import rucio_answers as answers
from broker.catalogues.fields import note
from broker.catalogues.rucio_client import DENIED, NotThereError, Rucio
from broker.catalogues.rucio_options import ACTIVITY, Staging
from broker.catalogues.rucio_placement import Whereabouts, counted
from broker.catalogues.rucio_stores import Store, Stores
from broker.catalogues.rucio_tokens import RucioError
from broker.model import Level, Note, Target
from federation.errors import one_line

# one call of `Stages`, which may be a few questions
CALL_SECONDS = 20.0
OK, STUCK, SUSPENDED = "OK", "STUCK", "SUSPENDED"
DUPLICATE = "DuplicateRule"
# errors that Rucio has for the moment, whatever their status
PASSING = ("ReplicationRuleCreationTemporaryFailed", "DatabaseException")
# and those that it has for good, though some come with a status of 500
REFUSALS = (
    DENIED,
    "InsufficientAccountLimit",
    "InsufficientTargetRSEs",
    "InvalidRSEExpression",
    "RSEOverQuota",
    "RSEWriteBlocked",
    "ScratchDiskLifetimeConflict",
)
LONGEST_ERROR = 300
# an URL in an error may be signed
_QUERY = re.compile(r"\?\S+")


def expression(target: Target, session: str) -> str:
    """The RSEs of a session's rule: the one called `rse`, unless its attribute `fairlead` is the session.

    No RSE has such an attribute. But an account has one rule for a data identifier and an expression, so that
    each session has one of its own: Rucio refuses a second, however often we ask, another session's can't be
    mistaken for it, and whoever looks at the rules sees whose it is.
    """
    return f"{target.rse}\\fairlead={session}"


def begin(rucio: Rucio, did: tuple[str, str], target: Target, session: str, seconds: float) -> None:
    """See `broker.catalogues.Stages`. Rucio itself sees to it that there is one rule."""
    ways = (each.activity for each in rucio.server.staging if each.site == target.site_id)
    activity = next(ways, ACTIVITY)
    which, until = expression(target, session), _until()
    comment = f"Fairlead brings this to {target.site_id} for its session {session}"
    with _understood():
        # asked first, for a rule that is there may have taken all that the account may have
        if rucio.rule(*did, which, until) is not None:
            return
        try:
            rucio.add_rule(*did, which, seconds, activity, comment, until)
        except RucioError as error:
            if error.kind != DUPLICATE:
                raise


def look(rucio: Rucio, stores: Stores, did: tuple[str, str], target: Target, session: str) -> Brought:
    """See `broker.catalogues.Stages`."""
    until = _until()
    with _understood():
        rule = rucio.rule(*did, expression(target, session), until)
        if rule is None:
            raise StagingRefused(f"{rucio.where} has no rule for it at {target.rse} any more")
        if rule.state in (STUCK, SUSPENDED):
            raise StagingRefused(_why(rucio, rule, target))
        found = counted(rucio, stores, rucio.did(*did, until), until)
    here = next((each for each in found.holdings if each.store.rse == target.rse), None)
    done = rule.state == OK
    return Brought(
        done,
        rule.locks_ok_cnt,
        rule.locks_ok_cnt + rule.locks_replicating_cnt + rule.locks_stuck_cnt,
        0 if here is None else here.size_bytes,
        _seconds(rule) if done else None,
    )


def end(rucio: Rucio, did: tuple[str, str], target: Target, session: str) -> None:
    """See `broker.catalogues.Stages`."""
    until = _until()
    with _understood():
        rule = rucio.rule(*did, expression(target, session), until)
        if rule is not None:
            try:
                rucio.delete_rule(rule.id, until)
            except NotThereError:
                return


def targets(
    found: Whereabouts, staging: Sequence[Staging], known: Mapping[str, Store], name: str, where: str
) -> tuple[tuple[Target, ...], list[Note]]:
    """Where Rucio brings it: to each site that has a storage for that, and not all of it. `known`: the
    storages. And what keeps others from being one, which is for their operators."""
    targets, notes = [], []
    here = {each.store.rse: each for each in found.holdings}
    complete = {each.store.site_id for each in found.whole()}
    if found.bundles:
        # in several of its storages together
        complete |= set.intersection(*({one.site_id for one in each.stores} for each in found.bundles))
    for each in staging:
        store, holding = known[each.rse], here.get(each.rse)
        if each.site in complete or (each.or_download and not store.writable):
            continue
        wrong = _unusable(each, store)
        if wrong is not None:
            template = "{name} isn't brought to {site} by a rule: {rse} {wrong}"
            values = {"name": name, "site": each.site, "rse": each.rse, "wrong": wrong}
            notes.append(note("data-no-rule", template, where, Level.WARN, **values))
            continue
        files, size_bytes = (0, 0) if holding is None else (holding.files, holding.size_bytes)
        targets.append(
            Target(
                each.site,
                each.rse,
                max(found.files - files, 0),
                max(found.size_bytes - size_bytes, 0),
                each.delay_seconds,
                each.or_download,
            )
        )
    return tuple(targets), notes


def _unusable(staging: Staging, store: Store) -> str | None:
    """What keeps its site from fetching what Rucio would bring there."""
    if store.site_id != staging.site:
        return "is no storage of that site" if store.site_id is None else f"is a storage of {store.site_id}"
    if store.tape:
        return "is tape"
    if store.door is None:
        return f"is read by {' and '.join(store.schemes) or 'nothing'} alone"
    return None


@contextmanager
def _understood() -> Iterator[None]:
    """What Rucio says no to as StagingRefused, and what it couldn't be asked as CatalogueError."""
    try:
        yield
    except RucioError as error:
        raise (StagingRefused if _is_refusal(error) else CatalogueError)(str(error)) from None


def _is_refusal(error: RucioError) -> bool:
    if error.kind in REFUSALS:
        return True
    # a sign-in that isn't taken may be an hour old, and renewed by somebody
    passing = error.status in (None, 401, 408, 429) or error.kind in PASSING
    return not passing and error.status is not None and error.status < 500


def _why(rucio: Rucio, rule: answers.Rule, target: Target) -> str:
    of = rule.locks_ok_cnt + rule.locks_replicating_cnt + rule.locks_stuck_cnt
    files = f"{rule.locks_stuck_cnt} of {of} files" if rule.locks_stuck_cnt else "it"
    words = one_line(_QUERY.sub("?...", rule.error or ""))[:LONGEST_ERROR]
    return f"{rucio.where} can't bring {files} to {target.rse} ({rule.state}): {words or 'it says no more'}"


def _seconds(rule: answers.Rule) -> float | None:
    """From its beginning until it was done, by Rucio's own clock; None where it doesn't say."""
    if not rule.created_at or not rule.updated_at:
        return None
    try:
        began, ended = (parsedate_to_datetime(each) for each in (rule.created_at, rule.updated_at))
        return max((ended - began).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _until() -> float:
    return time.monotonic() + CALL_SECONDS

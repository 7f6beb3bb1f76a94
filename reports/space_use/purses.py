"""How fast credits are spent, and until when what is left would last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from reports.space_use.model import Purse

# a rate that was seen for less than this says more of the hour than of the pace
LEAST = timedelta(days=1)


@dataclass(frozen=True)
class Burn:
    """Units spent in a day, and how that is known. None: nothing says it. `lasts_until` is when what is left
    would be gone at this pace, None where nothing is spent, or beyond all calendars."""

    per_day: float | None
    how: str
    lasts_until: datetime | None


def burn(purse: Purse, now: datetime) -> Burn:
    """From what was recorded, where that is for a day at least; else from the purse's beginning on.

    What is put into a purse meanwhile isn't taken for less spending: only what went out is added up.
    """
    account, past = purse.account, [each for each in purse.history if each.hour <= now]
    seen = now - past[0].hour if past else timedelta(0)
    if seen >= LEAST:
        levels = [*(each.remaining for each in past), account.left]
        spent = sum(max(earlier - later, 0.0) for earlier, later in pairwise(levels))
        return _burn(
            spent / (seen / timedelta(days=1)), f"recorded since {past[0].hour:%Y-%m-%d}", purse, now
        )
    started = account.start
    if account.granted is not None and started is not None and now - started >= LEAST:
        spent = max(account.granted - account.left, 0.0)
        return _burn(
            spent / ((now - started) / timedelta(days=1)), f"mean since {started:%Y-%m-%d}", purse, now
        )
    return Burn(None, "not known yet: recorded for less than a day, and no start is told", None)


def _burn(per_day: float, how: str, purse: Purse, now: datetime) -> Burn:
    if per_day <= 0:
        return Burn(0.0, how, None)
    try:
        return Burn(per_day, how, now + timedelta(days=max(purse.account.left, 0.0) / per_day))
    except OverflowError:
        return Burn(per_day, how, None)

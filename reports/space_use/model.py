"""What the report on the clouds' use is made of: plain data that other functions have read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reservations.calendar import Calendar
from reservations.credits import Account
from reservations.history.past import Past
from reservations.history.record import Remaining, Sample


@dataclass(frozen=True)
class Cloud:
    """The machines of one source of a site. `calendar` is the one that is counted (see
    `reservations.counted`), None where nothing is shown; `calendars` are all ways of booking them. `samples`
    are those of our own record for `calendar`; `past` is None where the source tells nothing of it.
    """

    site: str
    source: str
    calendars: tuple[Calendar, ...]
    calendar: Calendar | None
    past: Past | None = None
    samples: tuple[Sample, ...] = ()
    # what its past could not be asked for
    problem: str | None = None


# of which nothing is known
NOTHING = Cloud("", "", (), None)


@dataclass(frozen=True)
class Purse:
    """A purse, and what was left in it over time as far as it was recorded."""

    site: str
    account: Account
    history: tuple[Remaining, ...] = ()


@dataclass(frozen=True)
class Reading:
    """All that is known: of the time [since, now) before and [now, ahead) after. `names` are the sites'."""

    since: datetime
    now: datetime
    ahead: datetime
    clouds: tuple[Cloud, ...]
    names: dict[str, str] = field(default_factory=dict)
    purses: tuple[Purse, ...] = ()
    # what could not be asked, and the like
    remarks: tuple[str, ...] = ()

    def name(self, cloud: Cloud) -> str:
        """What people call it: the site, and the source where the site has several."""
        name = self.names.get(cloud.site, cloud.site)
        several = sum(other.site == cloud.site for other in self.clouds) > 1
        return f"{name} ({cloud.source})" if several else name
